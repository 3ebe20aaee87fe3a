//! Plain opens and closes, made by several threads at a time, and the first uses of opens.
//!
//! The rules of opens are in `admit` and `close.rs`. Here is the plain case of each: an open that needs no break, waits
//! for nothing and concerns no pending delete, rename, drain, hold or log. It may have a lease and a durable handle, with
//! which clients open nearly every file; only the loss of its client and what follows is under the whole lock. If
//! anything else is found, nothing has changed, and the caller decides under the whole lock from the beginning; so this
//! must not grant what the rules refuse, and never refuses.
//!
//! The decision about a file and the change of its tables are made under one hold of the file's part. The entries of an
//! open in the other tables follow while that part is still locked, so nobody can end an open that is not complete.

mod admit;
mod close;
mod replay;
