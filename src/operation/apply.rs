//! The plain path: an operation that is applied by a function, one request after the other.

use futures_util::future::BoxFuture;

use super::tx::{ApplyError, ApplyFn, Tx};
use crate::cause::Refusal;
use crate::head::Head;

/// An operation whose effect is a function instead of statements: for what a statement cannot say, such as a refusal that
/// depends on the rows.
///
/// ```
/// # #[cfg(feature = "sqlite")] {
/// use eitherway::Head;
/// use eitherway::operation::{Apply, ApplyError, Refusal, Spec, Tx};
/// use serde::{Deserialize, Serialize};
///
/// /// Takes one from the shelf.
/// #[derive(Debug, Serialize, Deserialize)]
/// pub struct Buy {
///     item: String,
/// }
///
/// impl Apply for Buy {
///     type Answer = i64;
///     const SPEC: Spec = Spec::call("buy", "shop.buy");
///     async fn apply(&self, tx: &mut Tx<'_>, _: &Head) -> Result<i64, ApplyError> {
///         let take = "UPDATE shelf SET count = count - 1 WHERE item = $1 AND count > 0 RETURNING count";
///         match tx.fetch_optional(sqlx::query(take).bind(&self.item)).await? {
///             Some((left,)) => Ok(left),
///             None => Err(Refusal::new("out_of_stock", format!("there is no {} left", self.item)).into()),
///         }
///     }
/// }
/// # }
/// ```
///
/// The request's row in the ledger stands before `apply` is called, and `apply` is not called where it stood before: the
/// answer is kept beside it, and given again. Each call has a savepoint of its own in the transaction of its batch. An
/// error of the database undoes what this call has done, and the request is not applied; a [`Refusal`] undoes it too and is
/// kept as the answer, so that every repeat is refused the same. What is no fault of the call (a lock, the disk, a deadlock, a
/// connection that was lost) fails or repeats the batch.
///
/// The transaction stays the framework's: a statement other than `SELECT`, `INSERT`, `UPDATE` and `DELETE` refuses the
/// request, and one that writes to the framework's tables fails. What a function does without its `tx`, such as a message
/// or a connection of its own, is outside of that transaction: it happens again when the request has to be tried again.
///
/// It costs some hops to the database a request, where statements cost one a batch, and what it locks is locked
/// meanwhile: wait for nothing but the database in here. After five seconds it is given up.
pub trait Apply: serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static {
    /// What comes back: [`Done`](super::Done) for an acknowledgement.
    type Answer: serde::Serialize + serde::de::DeserializeOwned + Clone + Send + Sync + 'static;
    /// Name, subject, kind: an event or a call.
    const SPEC: super::Spec;
    /// As of [`Definition`](super::Definition::SWEEPS).
    const SWEEPS: &'static [super::RetentionRule] = &[];
    /// As of [`Definition`](super::Definition::CHECKS).
    const CHECKS: &'static [super::Invariant] = &[];
    /// As of [`Definition`](super::Definition::POSTGRES): its keys, and sweeps and checks that differ there.
    const POSTGRES: super::Dialect = super::Dialect::SAME;

    /// Applies one request.
    ///
    /// # Errors
    /// A [`Refusal`], or what the database says.
    fn apply(
        &self,
        tx: &mut Tx<'_>,
        head: &Head,
    ) -> impl Future<Output = Result<Self::Answer, ApplyError>> + Send;

    /// As of [`Definition`](super::Definition::check).
    ///
    /// # Errors
    /// A sentence that says what is wrong with which field.
    fn check(&self) -> Result<(), super::Invalid> {
        Ok(())
    }
}

impl<T: Apply> super::Definition for T {
    type Answer = T::Answer;
    const SPEC: super::Spec = T::SPEC;
    const SWEEPS: &'static [super::RetentionRule] = T::SWEEPS;
    const CHECKS: &'static [super::Invariant] = T::CHECKS;
    const POSTGRES: super::Dialect = T::POSTGRES;
    const APPLY: Option<ApplyFn> = Some(apply_payload::<T>);

    fn check(&self) -> Result<(), super::Invalid> {
        Apply::check(self)
    }
}

/// [`Apply::apply`] from the payload to the answer as JSON.
fn apply_payload<'a, T: Apply>(
    payload: &'a [u8],
    tx: &'a mut Tx<'_>,
    head: &'a Head,
) -> BoxFuture<'a, Result<Vec<u8>, ApplyError>> {
    use super::{Definition, decode, encode_json};
    let name = <T as Definition>::SPEC.name;
    let invalid =
        move |e: super::Invalid| ApplyError::Refused(Refusal::new("invalid", format!("{name}: {}", e.0)));
    Box::pin(async move {
        let op = decode::<T>(payload).map_err(invalid)?;
        let answer = op.apply(tx, head).await?;
        encode_json(&answer).map_err(invalid)
    })
}
