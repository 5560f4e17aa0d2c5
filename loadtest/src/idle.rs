//! An actix handler that takes a check-in's body and answers a constant: what HTTP alone costs.

use std::{io::Write as _, net::SocketAddr, process::ExitCode};

use actix_web::{App, HttpResponse, HttpServer, web};
use clap::Args;

/// An answer as long as Beckon's to a check-in that changes nothing.
const ANSWER: &str = r#"{"results":[{"id":"r0-0000000000","at":"2026-11-22T08:30:00.000Z","status":"processed","events":[],"geofences":[]}]}"#;

#[derive(Args)]
pub(crate) struct IdleServer {
    #[arg(long)]
    listen: SocketAddr,
}

async fn answer(body: web::Bytes) -> HttpResponse {
    // The body is read and dropped.
    drop(body);
    HttpResponse::Ok().content_type("application/json").body(ANSWER)
}

impl IdleServer {
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        actix_web::rt::System::new().block_on(async {
            let server = HttpServer::new(|| App::new().route("/v1/check-ins", web::post().to(answer)))
                .backlog(2048)
                .bind(self.listen)?;
            let address = server.addrs().first().copied().unwrap_or(self.listen);
            writeln!(std::io::stdout(), "idle listens on http://{address}")?;
            server.run().await?;
            Ok(ExitCode::SUCCESS)
        })
    }
}
