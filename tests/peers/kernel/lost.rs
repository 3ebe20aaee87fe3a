//! Connections that are cut and servers that are restarted, in the middle of what a client does.
