//! Whether anybody may listen, asked without a trace.
//!
//! `tracing::enabled!` is no question but half an event: with filters of their own on several layers of a subscriber it
//! leaves its answer behind for the next event, which may then be lost. So a gate looks only at what is cached already:
//! the global maximum level, and the interest of its own callsite. It may say yes where a filter that depends on
//! the moment says no; the event itself decides in the end.

use super::TARGET;
use tracing::{
    Level, Metadata,
    callsite::DefaultCallsite,
    level_filters::{LevelFilter, STATIC_MAX_LEVEL},
    metadata,
    metadata::Kind,
};

/// One level of this crate's target.
pub(super) struct Gate {
    level: Level,
    callsite: &'static DefaultCallsite,
}

macro_rules! gate {
    ($name:ident, $level:ident) => {
        pub(super) static $name: Gate = {
            static META: Metadata<'static> = metadata! {
                name: "gate",
                target: TARGET,
                level: Level::$level,
                fields: &[],
                callsite: &CALLSITE,
                kind: Kind::HINT,
            };
            static CALLSITE: DefaultCallsite = DefaultCallsite::new(&META);
            Gate { level: Level::$level, callsite: &CALLSITE }
        };
    };
}

gate!(DEBUG, DEBUG);
gate!(WARN, WARN);
gate!(ERROR, ERROR);

impl Gate {
    /// False when an event of this level reaches nobody.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.level <= STATIC_MAX_LEVEL
            && self.level <= LevelFilter::current()
            && !self.callsite.interest().is_never()
    }
}
