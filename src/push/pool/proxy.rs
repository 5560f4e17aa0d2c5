//! A tunnel through an HTTP proxy: `CONNECT` (RFC 9110 section 9.3.6), with Basic authentication (RFC 7617) if asked for.

use std::io;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Uri;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::SetupError;

/// Most of a proxy's answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 8 * 1024;
/// The end of an answer's head.
const HEAD_END: &[u8] = b"\r\n\r\n";

pub(super) struct Proxy {
    host: String,
    port: u16,
    authorization: Option<SecretString>,
}

impl Proxy {
    /// Takes `http://[user:password@]host:port`, user and password percent-encoded.
    pub(super) fn new(address: &SecretString) -> Result<Self, SetupError> {
        let uri: Uri = address.expose_secret().parse().map_err(|_| SetupError::Proxy)?;
        let authority = uri.authority().ok_or(SetupError::Proxy)?;
        let bare = uri.path().trim_matches('/').is_empty() && uri.query().is_none();
        if uri.scheme_str() != Some("http") || !bare {
            return Err(SetupError::Proxy);
        }
        let authorization = match authority.as_str().rsplit_once('@') {
            None => None,
            Some((user_info, _)) => {
                let decoded: Vec<u8> = percent_decode_str(user_info).collect();
                Some(SecretString::from(format!("Basic {}", STANDARD.encode(decoded))))
            }
        };
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().ok_or(SetupError::Proxy)?,
            authorization,
        })
    }

    /// Opens a tunnel; the caller bounds the time.
    pub(super) async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let mut tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let target = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let authorization = self
            .authorization
            .as_ref()
            .map(|value| ["Proxy-Authorization: ", value.expose_secret(), "\r\n"]);
        let authorization = authorization.map(|parts| parts.concat()).unwrap_or_default();
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n");
        tcp.write_all(request.as_bytes()).await?;
        let status = read_status(&mut tcp).await?;
        if (200..300).contains(&status) {
            return Ok(tcp);
        }
        Err(io::Error::other(match status {
            407 => "the proxy asks for another user or password (407)".to_owned(),
            status => format!("the proxy refuses the connection ({status})"),
        }))
    }
}

/// Reads the answer's head and not one byte more: what follows is the tunnel.
async fn read_status(tcp: &mut TcpStream) -> io::Result<u16> {
    let mut head = Vec::new();
    while !head.ends_with(HEAD_END) {
        if head.len() >= ANSWER_BYTES_MAX {
            return Err(io::Error::other("the proxy's answer does not end"));
        }
        head.push(tcp.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head);
    let mut words = text.split(' ');
    let version = words.next().unwrap_or_default();
    let status = words.next().and_then(|status| status.get(..3)?.parse().ok());
    status
        .filter(|_| version.starts_with("HTTP/1."))
        .ok_or_else(|| io::Error::other("what answers is no HTTP proxy"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_proxies() {
        let proxy = |text: &str| Proxy::new(&SecretString::from(text.to_owned()));
        let plain = proxy("http://proxy.example:3128").unwrap();
        assert_eq!((plain.host.as_str(), plain.port), ("proxy.example", 3128));
        assert!(plain.authorization.is_none());
        let named = proxy("http://me:p%40ss@[::1]:8080/").unwrap();
        assert_eq!((named.host.as_str(), named.port), ("::1", 8080));
        let expected = format!("Basic {}", STANDARD.encode("me:p@ss"));
        assert_eq!(named.authorization.unwrap().expose_secret(), expected);
        for bad in [
            "https://proxy:3128",
            "proxy:3128",
            "http://proxy",
            "http://proxy:1/path",
            "",
        ] {
            assert!(matches!(proxy(bad), Err(SetupError::Proxy)), "{bad}");
        }
    }
}
