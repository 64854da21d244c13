//! The three methods by which every layer gives access to the service inside.

/// Within an `impl`: `get_ref`, whose documentation is given, `get_mut` and `into_inner`, of the field `inner`.
macro_rules! inner {
    ($doc:literal, $inner:ident) => {
        #[doc = $doc]
        pub const fn get_ref(&self) -> &$inner {
            &self.inner
        }

        /// The same, mutable.
        pub const fn get_mut(&mut self) -> &mut $inner {
            &mut self.inner
        }

        /// The same, without the layer.
        pub fn into_inner(self) -> $inner {
            self.inner
        }
    };
}
