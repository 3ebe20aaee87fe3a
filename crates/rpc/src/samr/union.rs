//! A macro that declares the information unions of MS-SAMR, once for both directions.

/// Declares a `[switch_type(enum)]` union of structures: the class in two octets, and the selected structure,
/// aligned.
macro_rules! samr_union {
    ($(#[$doc:meta])* $name:ident { $($class:literal => $variant:ident($info:ty),)* }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum $name {
            $(#[doc = concat!("Information of class ", $class, ".")] $variant($info),)*
        }

        impl $name {
            /// The information classes known.
            pub const CLASSES: &[$crate::ndr::Enum16] = &[$($crate::ndr::Enum16($class)),*];
        }

        impl $crate::ndr::Parameter for $name {
            fn write_whole(&self, to: &mut $crate::ndr::Writer) {
                match self {
                    $(Self::$variant(info) => {
                        to.u16($class);
                        to.align();
                        $crate::ndr::Parameter::write_whole(info, to);
                    })*
                }
            }

            fn read_whole(from: &mut $crate::ndr::Reader<'_>) -> Result<Self, $crate::ndr::NdrError> {
                let class = from.u16()?;
                from.align();
                match class {
                    $($class => $crate::ndr::Parameter::read_whole(from).map(Self::$variant),)*
                    other => Err($crate::ndr::NdrError::Discriminant { level: 0, discriminant: other.into() }),
                }
            }
        }

        ndr_unique_parameter!($name);

        #[cfg(test)]
        impl $crate::entropy::Any for $name {
            fn any(from: &mut $crate::entropy::Entropy<'_>) -> Self {
                let makers: &[fn(&mut $crate::entropy::Entropy<'_>) -> Self] =
                    &[$(|from| Self::$variant($crate::entropy::Any::any(from)),)*];
                makers[from.below(makers.len())](from)
            }
        }
    };
}
