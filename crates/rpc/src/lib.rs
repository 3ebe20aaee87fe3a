//! DCE/RPC PDUs, NDR20 and the interfaces srvsvc and wkssvc: pure.
