//! Answers to the kernel.

use fuser::{Errno, Generation, INodeNo, ReplyAttr, ReplyEmpty, ReplyEntry, ReplyXattr};

use crate::attributes::Facts;
use crate::limits;
use crate::volume::Volume;

pub(crate) fn entry(volume: &Volume, outcome: Result<(INodeNo, Facts), Errno>, reply: ReplyEntry) {
    match outcome {
        Ok((number, facts)) => {
            reply.entry(&limits::ATTRIBUTES_TIME, &facts.shown(number, &volume.view), Generation(0));
        }
        Err(errno) => reply.error(errno),
    }
}

pub(crate) fn attributes(volume: &Volume, number: INodeNo, outcome: Result<Facts, Errno>, reply: ReplyAttr) {
    match outcome {
        Ok(facts) => reply.attr(&limits::ATTRIBUTES_TIME, &facts.shown(number, &volume.view)),
        Err(errno) => reply.error(errno),
    }
}

pub(crate) fn done(outcome: Result<(), Errno>, reply: ReplyEmpty) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

/// Answers with an attribute's value, or with its size if `size` is 0.
pub(crate) fn sized(value: Result<Vec<u8>, Errno>, size: u32, reply: ReplyXattr) {
    let value = match value {
        Ok(value) => value,
        Err(errno) => return reply.error(errno),
    };
    match u32::try_from(value.len()) {
        Ok(length) if size == 0 => reply.size(length),
        Ok(length) if length <= size => reply.data(&value),
        _ => reply.error(Errno::ERANGE),
    }
}
