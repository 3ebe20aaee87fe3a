//! The tokio shell: listeners, connections, handlers, pipes, administration.
