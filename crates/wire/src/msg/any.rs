//! Any message, selected by its header.

use super::oplock_break::structure_size;
use super::*;
use crate::cursor::DecodeError;
use crate::header::{Command, Header};
use crate::status::NtStatus;

/// The body of a request or of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// A message of a client.
    Request(Request<'a>),
    /// A message of a server.
    Response(Response<'a>),
}

/// Reads the header and the body of any message, with everything in it that can be read without
/// knowing more than the message.
pub fn decode_any(message: &[u8]) -> Result<(Header, Body<'_>), DecodeError> {
    let header = Header::decode(message)?;
    let body = if header.is_response() {
        let response = Response::decode(&header, message)?;
        check_response(&response)?;
        Body::Response(response)
    } else {
        let request = Request::decode(header.command, message)?;
        check_request(&request)?;
        Body::Request(request)
    };
    Ok((header, body))
}

macro_rules! bodies {
    ($(#[$doc:meta])* $name:ident { $($variant:ident($type:ty) = $command:ident,)* } + { $($extra:ident($extra_type:ty),)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name<'a> {
            $(#[doc = concat!("The body of ", stringify!($command), ".")] $variant($type),)*
            $(#[doc = "An error, or an interim response."] $extra($extra_type),)*
        }

        impl<'a> $name<'a> {
            fn by_command(command: Command, message: &'a [u8]) -> Result<Self, DecodeError> {
                match command {
                    $(Command::$command => <$type>::decode(message).map(Self::$variant),)*
                    _ => Err(DecodeError::UnknownCommand),
                }
            }

            /// Appends the body.
            pub fn encode(&self, out: &mut Vec<u8>, base: usize) {
                match self {
                    $(Self::$variant(body) => body.encode(out, base),)*
                    $(Self::$extra(body) => body.encode(out, base),)*
                }
            }
        }
    };
}

bodies! {
    /// The body of any request.
    Request {
        Negotiate(NegotiateRequest<'a>) = NEGOTIATE,
        SessionSetup(SessionSetupRequest<'a>) = SESSION_SETUP,
        Logoff(LogoffRequest) = LOGOFF,
        TreeConnect(TreeConnectRequest<'a>) = TREE_CONNECT,
        TreeDisconnect(TreeDisconnectRequest) = TREE_DISCONNECT,
        Create(CreateRequest<'a>) = CREATE,
        Close(CloseRequest) = CLOSE,
        Flush(FlushRequest) = FLUSH,
        Read(ReadRequest) = READ,
        Write(WriteRequest<'a>) = WRITE,
        Lock(LockRequest<'a>) = LOCK,
        Ioctl(IoctlRequest<'a>) = IOCTL,
        Cancel(CancelRequest) = CANCEL,
        Echo(EchoRequest) = ECHO,
        QueryDirectory(QueryDirectoryRequest<'a>) = QUERY_DIRECTORY,
        ChangeNotify(ChangeNotifyRequest) = CHANGE_NOTIFY,
        QueryInfo(QueryInfoRequest<'a>) = QUERY_INFO,
        SetInfo(SetInfoRequest<'a>) = SET_INFO,
        OplockBreak(OplockBreakRequest) = OPLOCK_BREAK,
    } + {}
}

bodies! {
    /// The body of any response or notification.
    Response {
        Negotiate(NegotiateResponse<'a>) = NEGOTIATE,
        SessionSetup(SessionSetupResponse<'a>) = SESSION_SETUP,
        Logoff(LogoffResponse) = LOGOFF,
        TreeConnect(TreeConnectResponse) = TREE_CONNECT,
        TreeDisconnect(TreeDisconnectResponse) = TREE_DISCONNECT,
        Create(CreateResponse<'a>) = CREATE,
        Close(CloseResponse) = CLOSE,
        Flush(FlushResponse) = FLUSH,
        Read(ReadResponse<'a>) = READ,
        Write(WriteResponse) = WRITE,
        Lock(LockResponse) = LOCK,
        Ioctl(IoctlResponse<'a>) = IOCTL,
        Echo(EchoResponse) = ECHO,
        QueryDirectory(OutputResponse<'a>) = QUERY_DIRECTORY,
        ChangeNotify(OutputResponse<'a>) = CHANGE_NOTIFY,
        QueryInfo(OutputResponse<'a>) = QUERY_INFO,
        SetInfo(SetInfoResponse) = SET_INFO,
        OplockBreak(OplockBreakResponse) = OPLOCK_BREAK,
        Notification(ServerToClientNotification) = SERVER_TO_CLIENT_NOTIFICATION,
    } + {
        Error(ErrorResponse<'a>),
    }
}

impl<'a> Request<'a> {
    /// Reads the body of a request of this command.
    pub fn decode(command: Command, message: &'a [u8]) -> Result<Self, DecodeError> {
        Self::by_command(command, message)
    }
}

impl<'a> Response<'a> {
    /// Reads the body of a response, which its status may make an ERROR response (MS-SMB2 3.3.4.4).
    pub fn decode(header: &Header, message: &'a [u8]) -> Result<Self, DecodeError> {
        if is_error(header, structure_size(message)?) {
            ErrorResponse::decode(message).map(Self::Error)
        } else {
            Self::by_command(header.command, message)
        }
    }
}

/// True if a status makes a response an ERROR response. MS-SMB2 3.3.4.4 lists the exceptions.
fn is_error(header: &Header, structure_size: u16) -> bool {
    match header.status {
        NtStatus::PENDING => true,
        NtStatus::MORE_PROCESSING_REQUIRED => header.command != Command::SESSION_SETUP,
        NtStatus::BUFFER_OVERFLOW => !matches!(
            header.command,
            Command::QUERY_INFO | Command::READ | Command::IOCTL | Command::QUERY_DIRECTORY
        ),
        // The answer to FSCTL_SRV_COPYCHUNK contains the server's limits with INVALID_PARAMETER.
        NtStatus::INVALID_PARAMETER if header.command == Command::IOCTL => structure_size == ERROR_SIZE,
        status => !status.is_success(),
    }
}

const ERROR_SIZE: u16 = 9;

fn check_request(request: &Request<'_>) -> Result<(), DecodeError> {
    match request {
        Request::Negotiate(body) => body.contexts.iter().try_for_each(|context| context.map(|_| ())),
        Request::Create(body) => body.contexts.iter().try_for_each(|context| context.map(|_| ())),
        _ => Ok(()),
    }
}

fn check_response(response: &Response<'_>) -> Result<(), DecodeError> {
    match response {
        Response::Negotiate(body) => body.contexts.iter().try_for_each(|context| context.map(|_| ())),
        Response::Create(body) => body.contexts.iter().try_for_each(|context| context.map(|_| ())),
        Response::Error(body) => body.contexts().iter().try_for_each(|context| context.map(|_| ())),
        _ => Ok(()),
    }
}
