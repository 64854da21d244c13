//! Checks whether an event may be enabled, without side effects.
//!
//! `tracing::enabled!` has a side effect: with per-layer filters, it stores its result for the next event,
//! which may then be lost. So a gate reads only what is cached already: the global maximum level, and the
//! interest of its own callsite. It may return `true` where a dynamic filter rejects the event; the event
//! itself makes the final decision.

use tracing::{
    Level, Metadata,
    callsite::DefaultCallsite,
    level_filters::{LevelFilter, STATIC_MAX_LEVEL},
    metadata,
    metadata::Kind,
};

/// The `tracing` target of all events of this crate, for filters: `RUST_LOG=eitherway_layers=debug`.
pub const TARGET: &str = crate::TARGET;

/// The gate of one level of this crate's target.
pub(super) struct LevelCallsite {
    level: Level,
    callsite: &'static DefaultCallsite,
}

macro_rules! gate {
    ($name:ident, $level:ident) => {
        pub(super) static $name: LevelCallsite = {
            static META: Metadata<'static> = metadata! {
                name: "gate",
                target: TARGET,
                level: Level::$level,
                fields: &[],
                callsite: &CALLSITE,
                kind: Kind::HINT,
            };
            static CALLSITE: DefaultCallsite = DefaultCallsite::new(&META);
            LevelCallsite { level: Level::$level, callsite: &CALLSITE }
        };
    };
}

gate!(TRACE, TRACE);
gate!(DEBUG, DEBUG);
gate!(INFO, INFO);
gate!(WARN, WARN);
gate!(ERROR, ERROR);

/// The gate of this level.
pub(super) fn of(level: Level) -> &'static LevelCallsite {
    match level {
        Level::TRACE => &TRACE,
        Level::DEBUG => &DEBUG,
        Level::INFO => &INFO,
        Level::WARN => &WARN,
        Level::ERROR => &ERROR,
    }
}

impl LevelCallsite {
    /// Returns `false` if no subscriber records an event of this level, and no logger of the crate `log` does instead.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.level <= STATIC_MAX_LEVEL
            && (self.level <= LevelFilter::current() && !self.callsite.interest().is_never()
                || self.goes_to_the_crate_log())
    }

    /// With the feature `log` of tracing and no subscriber, events go to the crate `log`.
    #[inline]
    fn goes_to_the_crate_log(&self) -> bool {
        tracing::if_log_enabled!(self.level, {
            tracing::level_to_log!(self.level) <= tracing::log::max_level()
        } else {
            false
        })
    }
}
