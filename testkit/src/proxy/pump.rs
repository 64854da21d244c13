//! One direction of one connection.

use std::io::Result;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{self, Duration, Instant};

use super::{Direction, LinkState, Wanted};

/// What is read at once; with the pieces that may wait, the most that is on its way inside the proxy.
const PIECE: usize = 16 << 10;
const PIECES: usize = 256;
/// A throttled connection gets its bytes in such steps.
const STEP: Duration = Duration::from_millis(20);

pub(super) struct Pump {
    towards: Direction,
    wanted: watch::Receiver<Wanted>,
    /// How often this direction had been ended when the connection came.
    ended: u64,
}

impl Pump {
    pub(super) fn new(towards: Direction, wanted: watch::Receiver<Wanted>) -> Self {
        let ended = wanted.borrow().links[towards as usize].ended;
        Self { towards, wanted, ended }
    }

    /// Passes on until the sender has ended, and passes that on as well.
    pub(super) async fn run(mut self, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> Result<()> {
        let (pieces, mut arrived) = mpsc::channel(PIECES);
        let reading = async move {
            loop {
                let mut piece = Vec::with_capacity(PIECE);
                let read = from.read_buf(&mut piece).await?;
                // The direction was ended.
                let lost = pieces.send((Instant::now(), piece)).await.is_err();
                if read == 0 {
                    return Ok(());
                }
                if lost {
                    return waste(from).await;
                }
            }
        };
        let writing = async move {
            while let Some((at, piece)) = tokio::select! {
                piece = arrived.recv() => piece,
                () = self.end() => None,
            } {
                // The end arrives as late as everything else.
                if !self.released(at).await || piece.is_empty() {
                    break;
                }
                self.write(&piece, to).await?;
            }
            to.shutdown().await
        };
        tokio::try_join!(reading, writing).map(drop)
    }

    fn link(&self) -> LinkState {
        self.wanted.borrow().links[self.towards as usize]
    }

    /// Waits until this direction is ended.
    async fn end(&mut self) {
        let (towards, ended) = (self.towards as usize, self.ended);
        if self.wanted.wait_for(|wanted| wanted.links[towards].ended > ended).await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits for as long as what came at this time is to be held; false if it is to be lost.
    async fn released(&mut self, at: Instant) -> bool {
        loop {
            self.wanted.borrow_and_update();
            let link = self.link();
            if link.ended > self.ended {
                return false;
            }
            let due = at + link.delay;
            if !link.stalled && due <= Instant::now() {
                return true;
            }
            tokio::select! {
                changed = self.wanted.changed() => if changed.is_err() { return false },
                () = time::sleep_until(due), if !link.stalled => {}
            }
        }
    }

    /// Writes as fast as may be; what is left when a stall begins waits for its end.
    async fn write(&mut self, mut piece: &[u8], to: &mut OwnedWriteHalf) -> Result<()> {
        while !piece.is_empty() {
            let rate = self.link().bytes_per_second;
            let most = rate.map_or(piece.len(), |rate| (rate / 50).max(1) as usize).min(piece.len());
            to.write_all(&piece[..most]).await?;
            piece = &piece[most..];
            if rate.is_some() {
                time::sleep(STEP).await;
                if !self.released(Instant::now() - STEP).await {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Reads what comes and throws it away.
pub(super) async fn waste(from: &mut OwnedReadHalf) -> Result<()> {
    let mut piece = vec![0; PIECE];
    while from.read(&mut piece).await? > 0 {}
    Ok(())
}
