//! The shop over gRPC: the same operations, in front of the same stack.

use std::time::Duration;

use crate::{GetOrder, PlaceOrder, Shop, StockChanged};
use eitherway::operation::OperationOf;
use eitherway::stack::BoxedStack;
use eitherway::{Ack, Class, Classify, Code, Db, Error, Head, Reply};
use eitherway_layers::{BreakerLayer, Failure, TimeoutLayer};
use proto::shop_client::ShopClient;
use proto::shop_server;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::transport::Endpoint;
use tonic::{Request, Response, Status};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceBuilder};

/// What `proto/shop.proto` says.
#[allow(missing_docs, clippy::all)]
pub mod proto {
    tonic::include_proto!("shop");
}

/// A connection behind layers.
pub type Channel = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, BoxError>;

/// A client that waits for two seconds, and no more at a server that has been silent for long.
pub fn client(server: Endpoint) -> ShopClient<Channel> {
    let silent = |result: &Result<_, BoxError>| result.is_err().then(|| Failure::from(Class::Unknown));
    let layers = ServiceBuilder::new()
        .layer(BreakerLayer::default().classify_by(silent))
        .layer(TimeoutLayer::new(Duration::from_secs(2)))
        .map_err(BoxError::from);
    ShopClient::new(BoxCloneSyncService::new(layers.service(server.connect_lazy())))
}

/// The service over a stack.
#[derive(Debug)]
pub struct Grpc(pub Db<BoxedStack<Shop>>);

impl Grpc {
    /// Key, deadline (`grpc-timeout`) and trace are in the metadata, as they are in the headers of HTTP.
    async fn ask<T, M: OperationOf<Set = Shop>>(
        &self,
        asked: Request<T>,
        op: impl FnOnce(T) -> M,
    ) -> Result<Reply<M::Answer>, Status> {
        let (metadata, _, message) = asked.into_parts();
        let head = Head::from_headers(|name| metadata.get(name).map(|value| value.as_encoded_bytes()));
        let head = head.map_err(|e| Status::invalid_argument(e.to_string()))?;
        self.0.with(head).call(op(message)).await.map_err(status)
    }
}

#[tonic::async_trait]
impl shop_server::Shop for Grpc {
    async fn place_order(&self, asked: Request<proto::NewOrder>) -> Result<Response<proto::Order>, Status> {
        let reply = self.ask(asked, |new| PlaceOrder { item: new.item, quantity: new.quantity }).await?;
        Ok(served(reply.map(order)))
    }

    async fn get_order(&self, asked: Request<proto::OrderId>) -> Result<Response<proto::Order>, Status> {
        let reply = self.ask(asked, |wanted| GetOrder { id: wanted.id }).await?;
        Ok(served(reply.map(order)))
    }

    async fn stock_changed(&self, asked: Request<proto::Change>) -> Result<Response<proto::Taken>, Status> {
        let reply = self.ask(asked, |change| StockChanged { item: change.item, by: change.by }).await?;
        let committed = reply.ack == Ack::Committed;
        Ok(served(reply.map(|_| proto::Taken { committed })))
    }
}

fn order(order: crate::Order) -> proto::Order {
    proto::Order { id: order.id, item: order.item, quantity: order.quantity }
}

/// The answer, and in the metadata who served it.
fn served<A>(reply: Reply<A>) -> Response<A> {
    let via = reply.via.as_str().parse();
    let mut response = Response::new(reply.answer);
    if let Ok(via) = via {
        response.metadata_mut().insert("served-by", via);
    }
    response
}

/// The status for each class of error.
fn status(error: Error<Shop>) -> Status {
    let cause = error.cause();
    let code = match (cause.code(), cause.class()) {
        (Code::REFUSED, _) => tonic::Code::FailedPrecondition,
        (Code::NOT_FOUND, _) => tonic::Code::NotFound,
        (Code::ID_REUSED, _) => tonic::Code::AlreadyExists,
        (Code::EXPIRED, _) | (_, Class::Unknown) => tonic::Code::DeadlineExceeded,
        (_, Class::Rejected) => tonic::Code::InvalidArgument,
        (_, Class::TooLarge) => tonic::Code::ResourceExhausted,
        (_, Class::NotSent | Class::Backend) => tonic::Code::Unavailable,
    };
    Status::new(code, cause.decisive().to_string())
}
