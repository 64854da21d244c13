//! A server that speaks as CyTube does, on a real socket.io: one channel, `lounge`, whose people do what a test tells them. It writes
//! down what everybody in the channel has seen.

mod robot;
mod room;

use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{Data, SocketRef};
use tokio::runtime::Runtime;

use super::Port;
pub(crate) use robot::Robot;
pub(crate) use room::Room;

/// A server on a port of its own; it is killed when this is dropped.
pub(crate) struct CyTube {
    port: Port,
    room: Arc<Mutex<Room>>,
    running: Option<Runtime>,
}

impl CyTube {
    pub(crate) async fn start() -> Self {
        let mut server = Self { port: Port::reserve(), room: Arc::default(), running: None };
        server.restart().await;
        server
    }

    /// Its address for a bot of this name.
    pub(crate) fn chat(&self, name: &str) -> String {
        format!("cytube+http://{name}@127.0.0.1:{}/lounge", self.port.number)
    }

    /// What it knows, and what its people do.
    pub(crate) fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap()
    }

    /// Ends all connections at once. The channel's history stays, as that of a registered channel does.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.running.take() {
            runtime.shutdown_background();
            self.room().desert();
        }
    }

    /// Starts it, again on the same port.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (port, room) = (self.port.number, Arc::clone(&self.room));
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let listener = bound(port).await;
            ready.send(()).unwrap();
            axum::serve(listener, site(port, room)).await.unwrap();
        });
        self.running = Some(runtime);
        is_ready.await.unwrap();
    }
}

impl Drop for CyTube {
    fn drop(&mut self) {
        if let Some(runtime) = self.running.take() {
            runtime.shutdown_background();
        }
    }
}

/// The port may be held for a moment by the connections of the server before.
async fn bound(port: u16) -> tokio::net::TcpListener {
    for _ in 0..500 {
        if let Ok(listener) = tokio::net::TcpListener::bind(("127.0.0.1", port)).await {
            return listener;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("port {port} is not free");
}

fn site(port: u16, room: Arc<Mutex<Room>>) -> Router {
    let (layer, io) = SocketIo::builder().max_buffer_size(16 * 1024).build_layer();
    let visited = Arc::clone(&room);
    io.ns("/", move |socket: SocketRef| {
        visit(&socket, &visited);
        async {}
    });
    let config = move |Path(channel): Path<String>| async move {
        if room.lock().unwrap().closed {
            return (StatusCode::BAD_GATEWAY, "<html>the site is down</html>".to_owned());
        }
        if channel != "lounge.json" {
            return (StatusCode::NOT_FOUND, json!({"error": "no such channel"}).to_string());
        }
        let servers = json!([{"url": format!("http://127.0.0.1:{port}"), "secure": false}]);
        (StatusCode::OK, json!({ "servers": servers }).to_string())
    };
    Router::new().route("/socketconfig/{channel}", get(config)).layer(layer)
}

/// What a client may ask for. The room is locked within the futures alone: it may be locked by whoever makes the server call these.
fn visit(socket: &SocketRef, room: &Arc<Mutex<Room>>) {
    type Asked = fn(&mut Room, &SocketRef, &Value);
    let asked: [(&'static str, Asked); 4] = [
        ("joinChannel", Room::enter),
        ("login", Room::login),
        ("chatMsg", Room::chat),
        ("pm", Room::whisper),
    ];
    for (event, asked) in asked {
        let room = Arc::clone(room);
        socket.on(event, move |socket: SocketRef, Data::<Value>(data)| async move {
            asked(&mut room.lock().unwrap(), &socket, &data);
        });
    }
    let room = Arc::clone(room);
    socket.on_disconnect(move |socket: SocketRef| async move {
        room.lock().unwrap().part(&socket);
    });
}
