//! Sets of operations that do not compile. Each example differs from the first, which does, in the lines that are shown.
//!
//! ```
//! # use eitherway::operation::{Definition, Done, Migration, Spec};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Debug, Serialize, Deserialize)] pub struct A {}
//! # #[derive(Debug, Serialize, Deserialize)] pub struct B {}
//! # impl Definition for A {
//! #     type Answer = Done;
//! #     const SPEC: Spec = Spec::event("a", "site.a");
//! #     const STATEMENTS: &'static [&'static str] = &["INSERT INTO t SELECT id FROM new"];
//! # }
//! impl Definition for B {
//!     type Answer = Done;
//!     const SPEC: Spec = Spec::event("b", "site.b");
//!     const STATEMENTS: &'static [&'static str] = &["INSERT INTO t SELECT id FROM new"];
//! }
//! # const TABLES: &[Migration] = &[Migration::new(10, "t", "CREATE TABLE t (id TEXT)")];
//! eitherway::operations! { pub enum Op -> Answer in "site" with TABLES { A(A), B(B) } }
//! ```
//!
//! Two operations of one name:
//!
//! ```compile_fail,E0080
//! # use eitherway::operation::{Definition, Done, Migration, Spec};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Debug, Serialize, Deserialize)] pub struct A {}
//! # #[derive(Debug, Serialize, Deserialize)] pub struct B {}
//! # impl Definition for A {
//! #     type Answer = Done;
//! #     const SPEC: Spec = Spec::event("a", "site.a");
//! #     const STATEMENTS: &'static [&'static str] = &["INSERT INTO t SELECT id FROM new"];
//! # }
//! impl Definition for B {
//!     type Answer = Done;
//!     const SPEC: Spec = Spec::event("a", "site.b");
//!     const STATEMENTS: &'static [&'static str] = &["INSERT INTO t SELECT id FROM new"];
//! }
//! # const TABLES: &[Migration] = &[Migration::new(10, "t", "CREATE TABLE t (id TEXT)")];
//! eitherway::operations! { pub enum Op -> Answer in "site" with TABLES { A(A), B(B) } }
//! ```
//!
//! One operation twice:
//!
//! ```compile_fail,E0119
//! # use eitherway::operation::{Definition, Done, Migration, Spec};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Debug, Serialize, Deserialize)] pub struct A {}
//! # impl Definition for A {
//! #     type Answer = Done;
//! #     const SPEC: Spec = Spec::event("a", "site.a");
//! #     const STATEMENTS: &'static [&'static str] = &["INSERT INTO t SELECT id FROM new"];
//! # }
//! # const TABLES: &[Migration] = &[Migration::new(10, "t", "CREATE TABLE t (id TEXT)")];
//! eitherway::operations! { pub enum Op -> Answer in "site" with TABLES { A(A), B(A) } }
//! ```
//!
//! One with statements and a function:
//!
//! ```compile_fail,E0119
//! # use eitherway::Head;
//! # use eitherway::operation::{Apply, ApplyError, Definition, Done, Spec, Tx};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Debug, Serialize, Deserialize)] pub struct A {}
//! impl Definition for A {
//!     type Answer = Done;
//!     const SPEC: Spec = Spec::event("a", "site.a");
//!     const STATEMENTS: &'static [&'static str] = &["INSERT INTO t SELECT id FROM new"];
//! }
//! impl Apply for A {
//!     type Answer = Done;
//!     const SPEC: Spec = Spec::event("a", "site.a");
//!     async fn apply(&self, _: &mut Tx<'_>, _: &Head) -> Result<Done, ApplyError> {
//!         Ok(Done {})
//!     }
//! }
//! ```
//!
//! A set written by hand is looked at where its database is opened:
//!
//! ```compile_fail,E0080
//! # use eitherway::operation::{Invalid, Migration, Operation, Persist, Spec};
//! # struct Op;
//! # impl Operation for Op {
//! #     type Answer = ();
//! #     const SERVICE: &'static str = "site";
//! #     const SPECS: &'static [Spec] = &[Spec::event("x', 0); DELETE FROM ledger; --", "site.x")];
//! #     const NAMES: &'static [&'static str] = &["x', 0); DELETE FROM ledger; --"];
//! #     fn index(&self) -> usize { 0 }
//! #     fn encode(&self) -> Result<Vec<u8>, Invalid> { Ok(Vec::new()) }
//! #     fn decode(_: usize, _: &[u8]) -> Result<Self, Invalid> { Ok(Op) }
//! #     fn encode_answer(_: &()) -> Result<Vec<u8>, Invalid> { Ok(Vec::new()) }
//! #     fn decode_answer(_: usize, _: &[u8]) -> Result<(), Invalid> { Ok(()) }
//! # }
//! # impl Persist for Op {
//! #     const MIGRATIONS: &'static [Migration] = &[];
//! #     const STATEMENTS: &'static [&'static [&'static str]] = &[&["DELETE FROM t WHERE id IN (SELECT id FROM new)"]];
//! #     const ANSWERS: &'static [&'static str] = &[""];
//! #     const APPLY: &'static [Option<eitherway::operation::ApplyFn>] = &[None];
//! #     const SWEEPS: &'static [&'static [eitherway::operation::RetentionRule]] = &[&[]];
//! #     const FOLDS: &'static [&'static [eitherway::operation::Fold]] = &[&[]];
//! #     const CHECKS: &'static [&'static [eitherway::operation::Invariant]] = &[&[]];
//! # }
//! async fn open(options: &eitherway::sql::SqliteOptions) {
//!     let _ = eitherway::sql::SqlService::<Op>::open(options).await;
//! }
//! fn main() { drop(open(&"sqlite://a.db".parse().unwrap())); }
//! ```
