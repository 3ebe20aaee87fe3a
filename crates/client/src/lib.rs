//! What a net command talks through: the control API and MS-SRVS, and the small SMB client that reaches pipes.
