//! Macros that declare structures, unions and calls, once for both directions.
//!
//! Every field has the identifier of the specification's IDL as its documentation.

/// Declares a structure: its fields are written in order, then the data that they refer to.
macro_rules! ndr_struct {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty = $wire:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Default, PartialEq, Eq, Debug)]
        pub struct $name {
            $(#[doc = concat!("`", $wire, "`")] pub $field: $type,)*
        }

        impl $crate::ndr::Ndr for $name {
            const MIN: usize = 0 $(+ <$type as $crate::ndr::Ndr>::MIN)*;

            fn write(&self, to: &mut $crate::ndr::Writer) {
                $($crate::ndr::Ndr::write(&self.$field, to);)*
            }

            fn write_deferred(&self, to: &mut $crate::ndr::Writer) {
                $($crate::ndr::Ndr::write_deferred(&self.$field, to);)*
            }

            fn read(from: &mut $crate::ndr::Reader<'_>) -> Result<Self, $crate::ndr::NdrError> {
                Ok(Self { $($field: $crate::ndr::Ndr::read(from)?,)* })
            }

            fn read_deferred(
                &mut self,
                from: &mut $crate::ndr::Reader<'_>,
            ) -> Result<(), $crate::ndr::NdrError> {
                $($crate::ndr::Ndr::read_deferred(&mut self.$field, from)?;)*
                Ok(())
            }
        }

        #[cfg(test)]
        any_struct!($name { $($field,)* });
    };
}

/// Declares a `..._ENUM_STRUCT`: a level and a union of pointers to containers of entries.
macro_rules! ndr_enum_struct {
    ($(#[$doc:meta])* $name:ident { $($level:literal => $variant:ident($entry:ty),)* }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum $name {
            $(#[doc = concat!("Entries of level ", $level, ".")] $variant(Vec<$entry>),)*
            /// A level without a container, or one that is not known: to be refused as
            /// [`INVALID_LEVEL`](crate::Win32Error::INVALID_LEVEL), with the level echoed.
            Absent(u32),
        }

        impl $name {
            /// The information levels known.
            pub const LEVELS: &[u32] = &[$($level),*];

            /// No entries, at a level.
            pub fn empty(level: u32) -> Self {
                match level {
                    $($level => Self::$variant(Vec::new()),)*
                    other => Self::Absent(other),
                }
            }

            /// The information level.
            pub fn level(&self) -> u32 {
                match self {
                    $(Self::$variant(_) => $level,)*
                    Self::Absent(level) => *level,
                }
            }

            /// The number of entries.
            pub fn len(&self) -> usize {
                match self {
                    $(Self::$variant(entries) => entries.len(),)*
                    Self::Absent(_) => 0,
                }
            }

            /// True if there are no entries.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }
        }

        impl $crate::ndr::Parameter for $name {
            fn write_whole(&self, to: &mut $crate::ndr::Writer) {
                to.u32(self.level());
                to.u32(self.level());
                match self {
                    $(Self::$variant(entries) => {
                        to.pointer(true);
                        $crate::ndr::write_container(entries, to);
                    })*
                    Self::Absent(level) if Self::LEVELS.contains(level) => to.pointer(false),
                    Self::Absent(_) => {}
                }
            }

            fn read_whole(from: &mut $crate::ndr::Reader<'_>) -> Result<Self, $crate::ndr::NdrError> {
                let level = from.u32()?;
                let discriminant = from.u32()?;
                if level != discriminant {
                    return Err($crate::ndr::NdrError::Discriminant { level, discriminant });
                }
                if !Self::LEVELS.contains(&level) {
                    from.lose_way();
                    return Ok(Self::Absent(level));
                }
                if !from.pointer()? {
                    return Ok(Self::Absent(level));
                }
                Ok(match level {
                    $($level => Self::$variant($crate::ndr::read_container(from)?),)*
                    other => Self::Absent(other),
                })
            }
        }

        #[cfg(test)]
        any_levels!($name { $($variant,)* });
    };
}

/// Declares an information union: a level and a pointer to one structure.
macro_rules! ndr_info_union {
    ($(#[$doc:meta])* $name:ident { $($level:literal => $variant:ident($info:ty),)* }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum $name {
            $(#[doc = concat!("Information of level ", $level, ".")] $variant($info),)*
            /// A level without information: in a response that failed, or of a level not known, which
            /// is to be refused as [`INVALID_LEVEL`](crate::Win32Error::INVALID_LEVEL).
            Absent(u32),
        }

        impl $name {
            /// The information levels known.
            pub const LEVELS: &[u32] = &[$($level),*];

            /// The information level.
            pub fn level(&self) -> u32 {
                match self {
                    $(Self::$variant(_) => $level,)*
                    Self::Absent(level) => *level,
                }
            }
        }

        impl $crate::ndr::Parameter for $name {
            fn write_whole(&self, to: &mut $crate::ndr::Writer) {
                to.u32(self.level());
                match self {
                    $(Self::$variant(info) => {
                        to.pointer(true);
                        $crate::ndr::Parameter::write_whole(info, to);
                    })*
                    Self::Absent(level) if Self::LEVELS.contains(level) => to.pointer(false),
                    Self::Absent(_) => {}
                }
            }

            fn read_whole(from: &mut $crate::ndr::Reader<'_>) -> Result<Self, $crate::ndr::NdrError> {
                let level = from.u32()?;
                if !Self::LEVELS.contains(&level) {
                    from.lose_way();
                    return Ok(Self::Absent(level));
                }
                if !from.pointer()? {
                    return Ok(Self::Absent(level));
                }
                Ok(match level {
                    $($level => Self::$variant($crate::ndr::Parameter::read_whole(from)?),)*
                    other => Self::Absent(other),
                })
            }
        }

        impl $crate::call::Leveled for $name {
            fn level(&self) -> u32 {
                Self::level(self)
            }
        }

        #[cfg(test)]
        any_levels!($name { $($variant,)* });
    };
}

/// Makes `Option<T>` a parameter: `[out] T**`, a reference to a unique pointer.
macro_rules! ndr_unique_parameter {
    ($name:ident) => {
        impl $crate::ndr::Parameter for Option<$name> {
            fn write_whole(&self, to: &mut $crate::ndr::Writer) {
                to.pointer(self.is_some());
                if let Some(referent) = self {
                    $crate::ndr::Parameter::write_whole(referent, to);
                }
            }

            fn read_whole(from: &mut $crate::ndr::Reader<'_>) -> Result<Self, $crate::ndr::NdrError> {
                if from.pointer()? { $crate::ndr::Parameter::read_whole(from).map(Some) } else { Ok(None) }
            }
        }
    };
}

/// Declares a call: its request, its response, and the response that refuses it. A call returns a Win32 error, or the
/// type in a preceding `returns T;`.
macro_rules! ndr_call {
    (
        returns $status:ty;
        $(#[$doc:meta])*
        $opnum:literal $call:literal
        $request:ident { $($in_field:ident: $in_type:ty = $in_wire:literal,)* }
        => $response:ident { $($out_field:ident: $out_type:ty = $out_wire:literal,)* }
        refused |$of:pat_param| { $($refused_field:ident: $refused:expr,)* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct $request {
            $(#[doc = concat!("`", $in_wire, "`")] pub $in_field: $in_type,)*
        }

        #[doc = concat!("What [`", stringify!($request), "`] is answered with.")]
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct $response {
            $(#[doc = concat!("`", $out_wire, "`")] pub $out_field: $out_type,)*
            /// The return value.
            pub status: $status,
        }

        impl $crate::call::Call for $request {
            const OPNUM: u16 = $opnum;
            const NAME: &'static str = $call;
            type Response = $response;

            fn refuse(&self, status: $status) -> $response {
                let $of = self;
                $response { $($refused_field: $refused,)* status }
            }
        }

        impl $crate::call::Stub for $request {
            fn write_stub(&self, _to: &mut $crate::ndr::Writer) {
                $($crate::ndr::Parameter::write_whole(&self.$in_field, _to);)*
            }

            fn read_stub(_from: &mut $crate::ndr::Reader<'_>) -> Result<Self, $crate::ndr::NdrError> {
                Ok(Self { $($in_field: $crate::ndr::Parameter::read_whole(_from)?,)* })
            }
        }

        impl $crate::call::Stub for $response {
            fn write_stub(&self, to: &mut $crate::ndr::Writer) {
                $($crate::ndr::Parameter::write_whole(&self.$out_field, to);)*
                $crate::ndr::Parameter::write_whole(&self.status, to);
            }

            fn read_stub(from: &mut $crate::ndr::Reader<'_>) -> Result<Self, $crate::ndr::NdrError> {
                Ok(Self {
                    $($out_field: $crate::ndr::Parameter::read_whole(from)?,)*
                    status: $crate::ndr::Parameter::read_whole(from)?,
                })
            }
        }

        impl $crate::call::Response for $response {
            type Status = $status;

            fn status(&self) -> $status {
                self.status
            }
        }

        #[cfg(test)]
        any_struct!($request { $($in_field,)* });
        #[cfg(test)]
        any_struct!($response { $($out_field,)* status, });
    };
    ($($win32:tt)*) => {
        ndr_call! { returns $crate::Win32Error; $($win32)* }
    };
}

/// Declares an interface's calls as one type for requests and one for responses; all return the same, as with
/// `ndr_call`.
macro_rules! ndr_interface {
    (returns $status:ty; $($(#[$doc:meta])* $variant:ident($request:ty => $response:ty),)*) => {
        /// A request of this interface.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Request {
            $($(#[$doc])* $variant($request),)*
        }

        /// A response of this interface.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Response {
            $($(#[$doc])* $variant($response),)*
        }

        impl Request {
            /// The operation numbers known.
            pub const OPNUMS: &[u16] = &[$(<$request as $crate::call::Call>::OPNUM),*];

            /// Reads the request of an operation.
            pub fn decode(opnum: u16, stub: &[u8]) -> Result<Self, $crate::call::DecodeError> {
                $(if opnum == <$request as $crate::call::Call>::OPNUM {
                    return Ok(Self::$variant($crate::call::Stub::decode(stub)?));
                })*
                Err($crate::call::DecodeError::Opnum(opnum))
            }

            /// Writes the stub.
            pub fn encode(&self) -> Vec<u8> {
                match self {
                    $(Self::$variant(request) => $crate::call::Stub::encode(request),)*
                }
            }

            /// The operation number.
            pub fn opnum(&self) -> u16 {
                match self {
                    $(Self::$variant(_) => <$request as $crate::call::Call>::OPNUM,)*
                }
            }

            /// The specification's name of the call.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => <$request as $crate::call::Call>::NAME,)*
                }
            }

            /// The response that refuses this request: nothing in it but the level and the status.
            pub fn refuse(&self, status: $status) -> Response {
                match self {
                    $(Self::$variant(request) => {
                        Response::$variant($crate::call::Call::refuse(request, status))
                    })*
                }
            }
        }

        impl Response {
            /// Reads the response of an operation.
            pub fn decode(opnum: u16, stub: &[u8]) -> Result<Self, $crate::call::DecodeError> {
                $(if opnum == <$request as $crate::call::Call>::OPNUM {
                    return Ok(Self::$variant($crate::call::Stub::decode(stub)?));
                })*
                Err($crate::call::DecodeError::Opnum(opnum))
            }

            /// Writes the stub.
            pub fn encode(&self) -> Vec<u8> {
                match self {
                    $(Self::$variant(response) => $crate::call::Stub::encode(response),)*
                }
            }

            /// The return value of the call.
            pub fn status(&self) -> $status {
                match self {
                    $(Self::$variant(response) => response.status,)*
                }
            }
        }

        $(
            impl From<$request> for Request {
                fn from(request: $request) -> Self {
                    Self::$variant(request)
                }
            }

            impl From<$response> for Response {
                fn from(response: $response) -> Self {
                    Self::$variant(response)
                }
            }
        )*

        #[cfg(test)]
        any_interface!($($variant,)*);
    };
    ($($win32:tt)*) => {
        ndr_interface! { returns $crate::Win32Error; $($win32)* }
    };
}
