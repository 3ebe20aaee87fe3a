//! The control API plain data, shared by server and client.
