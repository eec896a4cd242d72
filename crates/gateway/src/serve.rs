//! The service on a socket, under limits.
//!
//! axum's own `serve` has no knobs for the size of a header block, for the number of connections or for readers that
//! never read, so the loop is written out here. HTTP/1.1 only: it is what OpenAI's packages speak.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, timeout_at};

use crate::Gateway;

/// Who is at the other end of the connection, in a request's extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Headers of one request.
pub(crate) const MAX_HEADERS: usize = 100;
/// Headers, and times the byte limit, at which the connection itself gives up, without a body in the error's shape.
const HARD_FACTOR: usize = 2;
/// How long to wait when the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What an operator can choose about the socket.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServeOptions {
    /// Connections open together; more wait to be accepted.
    pub max_connections: usize,
    /// Bytes of a request's path and headers. One over it gets 431.
    pub max_header_bytes: usize,
    /// Seconds that a request's headers may take to arrive, and that a connection may be idle.
    pub header_timeout_s: u64,
    /// Seconds that a reader may take no byte of a waiting answer before it is taken for gone.
    pub stall_timeout_s: u64,
    /// Seconds that requests in flight may go on once it is time to end.
    pub drain_s: u64,
}

impl Default for ServeOptions {
    fn default() -> ServeOptions {
        ServeOptions {
            max_connections: 4096,
            max_header_bytes: 32 << 10,
            header_timeout_s: 60,
            stall_timeout_s: 60,
            drain_s: 30,
        }
    }
}

/// Serves until `end` resolves; then drains: new requests get 503 while those in flight finish, for at most
/// `drain_s`. Returns how many were cut off.
pub async fn serve(
    listener: TcpListener,
    gateway: &Gateway,
    options: &ServeOptions,
    end: impl Future<Output = ()>,
) -> usize {
    let server = Server::new(gateway, options);
    let connections = GracefulShutdown::new();
    tokio::select! {
        () = server.accept_all(&listener, &connections) => {}
        () = end => {}
    }
    gateway.drain();
    let deadline = Instant::now() + Duration::from_secs(options.drain_s);
    // Probes must be able to see that it is not ready, so the port stays open while requests are in flight.
    tokio::select! {
        () = server.accept_all(&listener, &connections) => {}
        _ = timeout_at(deadline, gateway.app.in_flight.idle()) => {}
    }
    drop(listener);
    // Lets last bytes go out and closes idle connections.
    let _ = timeout_at(
        deadline.max(Instant::now() + Duration::from_secs(1)),
        connections.shutdown(),
    )
    .await;
    gateway.n_in_flight()
}

struct Server {
    http: http1::Builder,
    router: axum::Router,
    places: Arc<Semaphore>,
    stall_timeout: Duration,
}

impl Server {
    fn new(gateway: &Gateway, options: &ServeOptions) -> Server {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(options.header_timeout_s.max(1)))
            .max_headers(MAX_HEADERS * HARD_FACTOR)
            // hyper panics below its minimum.
            .max_buf_size(options.max_header_bytes.saturating_mul(HARD_FACTOR).max(8192));
        Server {
            http,
            router: gateway.router_with(options.max_header_bytes),
            places: Arc::new(Semaphore::new(
                options.max_connections.clamp(1, Semaphore::MAX_PERMITS),
            )),
            stall_timeout: Duration::from_secs(options.stall_timeout_s.max(1)),
        }
    }

    /// Accepts and serves until dropped.
    async fn accept_all(&self, listener: &TcpListener, connections: &GracefulShutdown) {
        // Never closed, so acquiring a place cannot fail.
        while let Ok(place) = self.places.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, peer)) => self.spawn(stream, peer.ip(), place, connections),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn spawn(
        &self,
        stream: TcpStream,
        peer: IpAddr,
        place: OwnedSemaphorePermit,
        connections: &GracefulShutdown,
    ) {
        // Each token is a small packet that must not wait for the next one.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "set_nodelay");
        }
        let stream = TokioIo::new(StallGuard {
            stream,
            limit: self.stall_timeout,
            timer: None,
        });
        let router = TowerToHyperService::new(self.router.clone());
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            router.call(request)
        });
        let connection = connections.watch(self.http.serve_connection(stream, service));
        tokio::spawn(async move {
            // Callers that leave are the common case; what their requests came to is in the request's own line.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection");
            }
            drop(place);
        });
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// A stream whose writes fail when the other side takes nothing for `limit`: a body that nobody reads is not polled
/// and could not notice by itself, and would hold its place in the engine for ever.
struct StallGuard {
    stream: TcpStream,
    limit: Duration,
    /// Runs while a write waits.
    timer: Option<Pin<Box<Sleep>>>,
}

impl StallGuard {
    fn watch<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.timer = None;
            return polled;
        }
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for StallGuard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for StallGuard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
