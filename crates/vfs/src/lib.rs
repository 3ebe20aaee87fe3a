//! Backends that hold the files: local directories and memory.
