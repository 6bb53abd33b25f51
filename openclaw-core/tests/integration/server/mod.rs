//! The gateway's doors, from outside.

mod access;
mod clients;
mod conversation;
mod devices;
mod hostile;
mod http;
mod http_client;
mod kit;
mod methods;
mod openai;
mod programs;
mod schema;
mod sockets;
mod tailnet;
