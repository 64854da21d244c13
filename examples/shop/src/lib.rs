//! The operations of a shop; [`grpc`] serves them over gRPC, `main.rs` over HTTP.

pub mod grpc;

use eitherway::Head;
use eitherway::operation::{
    Apply, ApplyError, Definition, Dialect, Done, Invalid, Migration, Refusal, Spec, Tx,
};
use serde::{Deserialize, Serialize};

/// Orders a number of a thing; refused as `out_of_stock` where there are fewer.
#[derive(Debug, Serialize, Deserialize)]
pub struct PlaceOrder {
    /// Of what.
    pub item: String,
    /// How many, and not 0.
    pub quantity: u32,
}

/// An order; its id is that of the operation that placed it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Names it, for [`GetOrder`].
    pub id: String,
    /// Of what.
    pub item: String,
    /// How many.
    pub quantity: u32,
}

impl Apply for PlaceOrder {
    type Answer = Order;
    const SPEC: Spec = Spec::call("place_order", "shop.db.order.place");

    fn check(&self) -> Result<(), Invalid> {
        if self.quantity == 0 { Err("quantity: is 0".into()) } else { Ok(()) }
    }

    async fn apply(&self, tx: &mut Tx<'_>, head: &Head) -> Result<Order, ApplyError> {
        let (item, quantity) = (&self.item, i64::from(self.quantity));
        let taken = sqlx::query("UPDATE stock SET count = count - $2 WHERE item = $1 AND count >= $2");
        if tx.execute(taken.bind(item).bind(quantity)).await? == 0 {
            return Err(Refusal::new("out_of_stock", format!("there is not enough {item} left")).into());
        }
        let placed = sqlx::query("INSERT INTO orders (id, at, item, quantity) VALUES ($1, $2, $3, $4)");
        tx.execute(placed.bind(head.id.to_string()).bind(head.occurred_at).bind(item).bind(quantity)).await?;
        Ok(Order { id: head.id.to_string(), item: item.clone(), quantity: self.quantity })
    }
}

/// The stock of a thing has changed by this number.
#[derive(Debug, Serialize, Deserialize)]
pub struct StockChanged {
    /// Of what.
    pub item: String,
    /// How many more; below 0: fewer.
    pub by: i32,
}

impl Definition for StockChanged {
    type Answer = Done;
    const SPEC: Spec = Spec::event("stock_changed", "shop.db.stock.changed");
    const STATEMENTS: &'static [&'static str] =
        &["INSERT INTO stock SELECT op ->> 'item', sum(CAST(op ->> 'by' AS bigint)) FROM new WHERE true GROUP BY 1
         ON CONFLICT (item) DO UPDATE SET count = stock.count + excluded.count"];
}

/// An order by its id, if there is one.
#[derive(Debug, Serialize, Deserialize)]
pub struct GetOrder {
    /// That of the operation that placed it.
    pub id: String,
}

impl Definition for GetOrder {
    type Answer = Order;
    const SPEC: Spec = Spec::query("get_order", "shop.db.order.get");
    const ANSWER: &'static str = "SELECT json_object('id', o.id, 'item', item, 'quantity', quantity)
         FROM asked JOIN orders o ON o.id = op ->> 'id'";
    const POSTGRES: Dialect = Dialect::SAME.answer(
        "SELECT json_build_object('id', o.id, 'item', item, 'quantity', quantity)
         FROM asked JOIN orders o ON o.id = op ->> 'id'",
    );
}

const TABLES: &[Migration] = &[Migration::new(
    10,
    "shop",
    "CREATE TABLE stock (item TEXT PRIMARY KEY NOT NULL, count BIGINT NOT NULL);
     CREATE TABLE orders (id TEXT PRIMARY KEY NOT NULL, at BIGINT NOT NULL, item TEXT NOT NULL, quantity BIGINT NOT NULL)",
)];

eitherway::operations! {
    /// All that a shop does.
    pub enum Shop -> ShopAnswer in "shop.db" with TABLES {
        PlaceOrder(PlaceOrder), StockChanged(StockChanged), GetOrder(GetOrder),
    }
}
