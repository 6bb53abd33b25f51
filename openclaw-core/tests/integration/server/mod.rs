//! The gateway's doors, from outside.

mod access;
mod clients;
mod conversation;
mod devices;
mod hostile;
mod http;
mod kit;
mod schema;
mod sockets;
