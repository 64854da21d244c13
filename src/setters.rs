//! The builder methods of options.

/// A consuming method for each of these fields, or of these fields in a part, called like it.
macro_rules! setters {
    (in $part:ident; $($(#[$doc:meta])* $field:ident: $type:ty,)+) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $field(mut self, $field: $type) -> Self {
            self.$part.$field = $field;
            self
        }
    )+};
    ($($(#[$doc:meta])* $field:ident: $type:ty,)+) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $field(self, $field: $type) -> Self {
            Self { $field: $field.into(), ..self }
        }
    )+};
}

pub(crate) use setters;
