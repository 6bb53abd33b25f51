//! The gateway's doors, from outside.

mod access;
mod clients;
mod conversation;
mod devices;
mod fuzz;
mod handshake;
mod hostile;
mod http;
mod http_client;
mod kit;
mod methods;
mod openai;
mod programs;
mod recorded;
mod schema;
mod sockets;
mod tailnet;
