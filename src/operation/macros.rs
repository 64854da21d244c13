//! Tying operations into one type, and methods of the typed client.

/// Ties operations into one type: an enum of them, an enum of their answers, and everything the stack asks.
///
/// `in "NAME"` is the name of the service, [`Operation::SERVICE`](crate::Operation::SERVICE). Without it, that is
/// `eitherway.db`.
///
/// ```
/// use eitherway::operation::{Definition, Done, Invalid, Migration, Spec};
/// use serde::{Deserialize, Serialize};
///
/// /// Puts a line on the list.
/// #[derive(Debug, Serialize, Deserialize)]
/// pub struct Add {
///     text: String,
/// }
///
/// impl Definition for Add {
///     type Answer = Done;
///     const SPEC: Spec = Spec::event("add", "todo.add");
///     const STATEMENTS: &'static [&'static str] =
///         &["INSERT INTO todo (op_id, text) SELECT id, op ->> 'text' FROM new"];
///     fn check(&self) -> Result<(), Invalid> {
///         if self.text.is_empty() { Err("text: is empty".into()) } else { Ok(()) }
///     }
/// }
///
/// const TABLES: &[Migration] =
///     &[Migration::new(10, "todo", "CREATE TABLE todo (op_id TEXT PRIMARY KEY, text TEXT NOT NULL)")];
///
/// eitherway::operations! {
///     /// All that a to-do list can do.
///     pub enum Todo -> TodoAnswer in "todo" with TABLES { Add(Add) }
/// }
/// ```
///
/// Where PostgreSQL needs other statements for the tables, they are named behind the others: `with TABLES, postgres PG_TABLES`.
#[macro_export]
macro_rules! operations {
    ($(#[$doc:meta])* $vis:vis enum $op:ident -> $answer:ident $(in $service:literal)? with $migrations:path $(, postgres $postgres:path)? { $($name:ident($ty:ty)),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug)]
        $vis enum $op { $(#[doc = concat!("The operation [`", stringify!($name), "`].")] $name($ty)),+ }

        #[doc = concat!("The answer of each operation of [`", stringify!($op), "`].")]
        #[derive(Clone, Debug)]
        $vis enum $answer {
            $(#[doc = concat!("Of [`", stringify!($name), "`].")] $name(<$ty as $crate::operation::Definition>::Answer),)+
            /// Of a request that is forwarded: as it is written.
            Forwarded($crate::operation::Forwarded),
        }

        $(
            impl From<$ty> for $op {
                fn from(op: $ty) -> Self {
                    Self::$name(op)
                }
            }

            impl $crate::operation::OperationOf for $ty {
                type Set = $op;
                #[allow(unreachable_patterns)]
                fn answer(whole: $answer) -> Option<Self::Answer> {
                    match whole {
                        $answer::$name(answer) => Some(answer),
                        $answer::Forwarded(json) => $crate::__private::decode_json(json.get().as_bytes()).ok(),
                        _ => None,
                    }
                }
            }
        )+

        const _: () = {
            use $crate::operation::{ApplyFn, Invariant, Definition, Derived, Dialect, Fold, Invalid, Migration, Operation, Persist, Spec, RetentionRule};

            impl Persist for $op {
                const MIGRATIONS: &'static [Migration] = $migrations;
                const STATEMENTS: &'static [&'static [&'static str]] = &[$(<$ty as Definition>::STATEMENTS),+];
                const ANSWERS: &'static [&'static str] = &[$(<$ty as Definition>::ANSWER),+];
                const APPLY: &'static [Option<ApplyFn>] = &[$(<$ty as Definition>::APPLY),+];
                const SWEEPS: &'static [&'static [RetentionRule]] = &[$(<$ty as Definition>::SWEEPS),+];
                const FOLDS: &'static [&'static [Fold]] = &[$(<$ty as Definition>::FOLDS),+];
                const CHECKS: &'static [&'static [Invariant]] = &[$(<$ty as Definition>::CHECKS),+];
                $(const POSTGRES_MIGRATIONS: &'static [Migration] = $postgres;)?
                const POSTGRES: &'static [Dialect] = &[$(<$ty as Definition>::POSTGRES),+];
            }

            const _: () = $crate::__private::validate_set::<$op>();

            #[repr(usize)]
            enum Index { $($name),+ }

            impl Operation for $op {
                type Answer = $answer;
                $(const SERVICE: &'static str = $service;)?
                const SPECS: &'static [Spec] = &[$(<$ty as Definition>::SPEC),+];
                const NAMES: &'static [&'static str] = &[$(<$ty as Definition>::SPEC.name),+];

                fn index(&self) -> usize {
                    match self { $(Self::$name(_) => Index::$name as usize),+ }
                }

                fn encode(&self) -> Result<Vec<u8>, Invalid> {
                    match self { $(Self::$name(op) => $crate::__private::encode(op)),+ }
                }

                fn derive(&self, fields: &mut Derived) {
                    match self { $(Self::$name(op) => Definition::derive(op, fields)),+ }
                }

                fn decode(index: usize, payload: &[u8]) -> Result<Self, Invalid> {
                    $(if index == Index::$name as usize {
                        return $crate::__private::decode::<$ty>(payload).map(Self::$name);
                    })+
                    Err("no such operation".into())
                }

                fn encode_answer(answer: $answer) -> Result<Vec<u8>, Invalid> {
                    match answer {
                        $($answer::$name(answer) => $crate::__private::encode_json(&answer),)+
                        $answer::Forwarded(json) => Ok(json.into_bytes()),
                    }
                }

                fn forward_answer(
                    _: usize,
                    json: Box<$crate::operation::RawValue>,
                ) -> Result<$answer, Invalid> {
                    Ok($answer::Forwarded($crate::operation::Forwarded::new(json)))
                }

                fn decode_answer(index: usize, json: &[u8]) -> Result<$answer, Invalid> {
                    $(if index == Index::$name as usize {
                        return $crate::__private::decode_json(json).map($answer::$name);
                    })+
                    Err("no such operation".into())
                }
            }
        };
    };
}

/// Methods of the typed client for operations of one's own: a trait for [`Db`](crate::Db), one line for each.
///
/// ```
/// # use eitherway::operation::{Definition, Done, Migration, Spec};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Serialize, Deserialize)]
/// # pub struct Add { text: String }
/// # impl Definition for Add {
/// #     type Answer = Done;
/// #     const SPEC: Spec = Spec::event("add", "todo.add");
/// #     const STATEMENTS: &'static [&'static str] = &["INSERT INTO todo SELECT id, op ->> 'text' FROM new"];
/// # }
/// # const TABLES: &[Migration] = &[Migration::new(10, "todo", "CREATE TABLE todo (op_id TEXT PRIMARY KEY, text TEXT)")];
/// # eitherway::operations! { pub enum Todo -> TodoAnswer in "todo" with TABLES { Add(Add) } }
/// eitherway::client! {
///     /// The list's methods.
///     pub trait TodoClient for Todo {
///         /// Puts a line on the list.
///         add(text: impl Into<String>) => Add { text: text.into() };
///         /// The same, and tells nothing: a method may return something else, made of the answer.
///         add_quietly(text: impl Into<String>) -> () => Add { text: text.into() }, drop;
///     }
/// }
///
/// # async fn example(db: eitherway::Db<impl eitherway::Stack<Todo>>) -> Result<(), eitherway::Error<Todo>> {
/// db.add("milk").await?;
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! client {
    (@returns $operation:ident, $returns:ty) => { $returns };
    (@returns $operation:ident) => { <$operation as $crate::operation::Definition>::Answer };
    (
        $(#[$doc:meta])*
        $vis:vis trait $client:ident for $op:ident {
            $($(#[$about:meta])* $method:ident($($name:ident: $ty:ty),* $(,)?) $(-> $returns:ty)? =>
                $operation:ident { $($fields:tt)* } $(, $of_answer:expr)?;)+
        }
    ) => {
        $(#[$doc])*
        $vis trait $client {
            $(
                $(#[$about])*
                ///
                /// # Errors
                /// The error of the stack, with the request.
                fn $method(
                    &self,
                    $($name: $ty),*
                ) -> impl Future<
                    Output = Result<$crate::client!(@returns $operation $(, $returns)?), $crate::Error<$op>>,
                > + Send;
            )+
        }

        impl<S: $crate::Stack<$op>> $client for $crate::Db<S> {
            $(
                fn $method(
                    &self,
                    $($name: $ty),*
                ) -> impl Future<
                    Output = Result<$crate::client!(@returns $operation $(, $returns)?), $crate::Error<$op>>,
                > + Send {
                    // Before anything is waited for: the arguments need not be `Send`.
                    let operation = $operation { $($fields)* };
                    let client = self.clone();
                    async move { client.call(operation).await.map(|reply| reply.answer)$(.map($of_answer))? }
                }
            )+
        }
    };
}
