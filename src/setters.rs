//! The builder methods of options.

/// A consuming method for each of these fields, called like it.
macro_rules! setters {
    ($($(#[$doc:meta])* $field:ident: $type:ty,)+) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $field(self, $field: $type) -> Self {
            Self { $field: $field.into(), ..self }
        }
    )+};
}

pub(crate) use setters;
