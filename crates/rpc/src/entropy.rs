//! Arbitrary values of everything that is declared, made from random octets, for the round trips.

use wire::NtStatus;
use wire::security::Sid;

use crate::Win32Error;
use crate::ndr::{
    BufferSized, Container, ContextHandle, CountedArray, Enum16, OldLargeInteger, SizedBuffer, UnicodeString,
};
use crate::uuid::Uuid;

/// A source of choices; when it is exhausted, every choice is 0.
pub(crate) struct Entropy<'a>(pub(crate) &'a [u8]);

impl Entropy<'_> {
    pub(crate) fn octet(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.octet()) % bound
    }
}

pub(crate) trait Any {
    fn any(from: &mut Entropy<'_>) -> Self;
}

impl Any for u32 {
    fn any(from: &mut Entropy<'_>) -> Self {
        u32::from_le_bytes([from.octet(), from.octet(), from.octet(), from.octet()])
    }
}

impl Any for u16 {
    fn any(from: &mut Entropy<'_>) -> Self {
        u16::from_le_bytes([from.octet(), from.octet()])
    }
}

impl Any for u8 {
    fn any(from: &mut Entropy<'_>) -> Self {
        from.octet()
    }
}

impl Any for Win32Error {
    fn any(from: &mut Entropy<'_>) -> Self {
        Self(Any::any(from))
    }
}

impl Any for String {
    fn any(from: &mut Entropy<'_>) -> Self {
        let alphabet = ['a', 'Z', '\\', '$', ':', ' ', 'é', 'Ω', '漢', '🦀', '\u{fffd}'];
        let length = from.below(9);
        (0..length).map(|_| alphabet[from.below(alphabet.len())]).collect()
    }
}

impl<T: Any> Any for Option<T> {
    fn any(from: &mut Entropy<'_>) -> Self {
        (from.octet() & 1 == 1).then(|| T::any(from))
    }
}

impl<T: Any> Any for Vec<T> {
    fn any(from: &mut Entropy<'_>) -> Self {
        let length = from.below(6);
        (0..length).map(|_| T::any(from)).collect()
    }
}

impl Any for SizedBuffer {
    fn any(from: &mut Entropy<'_>) -> Self {
        Self(Any::any(from))
    }
}

impl Any for NtStatus {
    fn any(from: &mut Entropy<'_>) -> Self {
        Self(Any::any(from))
    }
}

impl Any for Uuid {
    fn any(from: &mut Entropy<'_>) -> Self {
        Self(std::array::from_fn(|_| from.octet()))
    }
}

impl Any for Sid {
    fn any(from: &mut Entropy<'_>) -> Self {
        match from.below(3) {
            0 => Self::WORLD,
            1 => Self::ADMINISTRATORS,
            _ => Self::of_domain([1, 2, 3], Any::any(from)),
        }
    }
}

impl Any for UnicodeString {
    fn any(from: &mut Entropy<'_>) -> Self {
        String::any(from).into()
    }
}

impl Any for ContextHandle {
    fn any(from: &mut Entropy<'_>) -> Self {
        Self { attributes: Any::any(from), uuid: std::array::from_fn(|_| from.octet()) }
    }
}

impl<T: Any> Any for Container<T> {
    fn any(from: &mut Entropy<'_>) -> Self {
        Self(Any::any(from))
    }
}

impl<T: Any> Any for CountedArray<T> {
    fn any(from: &mut Entropy<'_>) -> Self {
        Self(Any::any(from))
    }
}

impl Any for Enum16 {
    fn any(from: &mut Entropy<'_>) -> Self {
        Self(Any::any(from))
    }
}

impl Any for OldLargeInteger {
    fn any(from: &mut Entropy<'_>) -> Self {
        Self(i64::from_le_bytes(std::array::from_fn(|_| from.octet())))
    }
}

impl Any for BufferSized {
    fn any(from: &mut Entropy<'_>) -> Self {
        Self(Any::any(from))
    }
}

impl<T: Any> Any for crate::call::WithLevel<T> {
    fn any(from: &mut Entropy<'_>) -> Self {
        Self(Any::any(from))
    }
}

/// The tests that each interface whose calls return an NTSTATUS has in common.
macro_rules! round_trips {
    () => {
        proptest::proptest! {
            #[test]
            fn requests_and_refusals_come_back(
                seed in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400),
            ) {
                let request: Request = $crate::entropy::Any::any(&mut $crate::entropy::Entropy(&seed));
                let refusal = request.refuse(wire::NtStatus::ACCESS_DENIED);
                proptest::prop_assert_eq!(refusal.status(), wire::NtStatus::ACCESS_DENIED);
                proptest::prop_assert_eq!(Response::decode(request.opnum(), &refusal.encode()), Ok(refusal));
                proptest::prop_assert_eq!(Request::decode(request.opnum(), &request.encode()), Ok(request));
            }

            #[test]
            fn responses_come_back(
                seed in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400),
            ) {
                let response: Response = $crate::entropy::Any::any(&mut $crate::entropy::Entropy(&seed));
                proptest::prop_assert_eq!(
                    Response::decode(response.opnum(), &response.encode()),
                    Ok(response)
                );
            }

            #[test]
            fn arbitrary_stubs_are_read_or_refused(
                at in proptest::prelude::any::<proptest::sample::Index>(),
                stub in proptest::collection::vec(
                    proptest::prop_oneof![4 => 0u8..4, 1 => proptest::prelude::any::<u8>()],
                    0..300,
                ),
            ) {
                let opnum = Request::OPNUMS[at.index(Request::OPNUMS.len())];
                if let Ok(request) = Request::decode(opnum, &stub) {
                    proptest::prop_assert!(request.encode().len() <= 4 * stub.len() + 64);
                }
                if let Ok(response) = Response::decode(opnum, &stub) {
                    proptest::prop_assert!(response.encode().len() <= 4 * stub.len() + 64);
                }
            }
        }
    };
}

macro_rules! any_struct {
    ($name:ident { $($field:ident,)* }) => {
        impl $crate::entropy::Any for $name {
            fn any(_from: &mut $crate::entropy::Entropy<'_>) -> Self {
                Self { $($field: $crate::entropy::Any::any(_from),)* }
            }
        }
    };
}

macro_rules! any_levels {
    ($name:ident { $($variant:ident,)* }) => {
        impl $crate::entropy::Any for $name {
            fn any(from: &mut $crate::entropy::Entropy<'_>) -> Self {
                let makers: &[fn(&mut $crate::entropy::Entropy<'_>) -> Self] = &[
                    $(|from| Self::$variant($crate::entropy::Any::any(from)),)*
                    |from| Self::Absent(Self::LEVELS[from.below(Self::LEVELS.len())]),
                    |_| Self::Absent(77),
                ];
                makers[from.below(makers.len())](from)
            }
        }
    };
}

macro_rules! any_interface {
    ($($variant:ident,)*) => {
        impl $crate::entropy::Any for Request {
            fn any(from: &mut $crate::entropy::Entropy<'_>) -> Self {
                let makers: &[fn(&mut $crate::entropy::Entropy<'_>) -> Self] =
                    &[$(|from| Self::$variant($crate::entropy::Any::any(from)),)*];
                makers[from.below(makers.len())](from)
            }
        }

        impl $crate::entropy::Any for Response {
            fn any(from: &mut $crate::entropy::Entropy<'_>) -> Self {
                let makers: &[fn(&mut $crate::entropy::Entropy<'_>) -> Self] =
                    &[$(|from| Self::$variant($crate::entropy::Any::any(from)),)*];
                makers[from.below(makers.len())](from)
            }
        }

        /// The operation that a response answers.
        #[cfg(test)]
        impl Response {
            fn opnum(&self) -> u16 {
                let variants = [$(stringify!($variant)),*];
                let shown = format!("{self:?}");
                let name = shown.split('(').next().unwrap();
                Request::OPNUMS[variants.iter().position(|variant| *variant == name).unwrap()]
            }
        }
    };
}
