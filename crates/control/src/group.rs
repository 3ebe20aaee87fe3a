//! Local groups.

use serde::{Deserialize, Serialize};

/// One local group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Group {
    /// The name.
    pub name: String,
    /// The comment.
    pub comment: String,
    /// True for a group that every machine has, such as Administrators, whose members other settings determine.
    pub built_in: bool,
    /// The users and groups in it, in the order of their names.
    pub members: Vec<GroupMember>,
}

/// One member of a local group.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupMember {
    /// The name, with a domain if it has one.
    pub name: String,
    /// True if it is a group, whose members are members, too.
    pub group: bool,
}

/// The body of `POST /v1/groups`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewGroup {
    /// The name.
    pub name: String,
    /// The comment.
    #[serde(default)]
    pub comment: String,
}

/// The body of `PATCH /v1/groups/{name}`. All of it is done, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupChange {
    /// The new comment; `None` leaves it as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The users and groups to add.
    pub add: Vec<String>,
    /// The users and groups to remove.
    pub remove: Vec<String>,
}
