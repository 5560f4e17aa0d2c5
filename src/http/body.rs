//! Bodies: bounded, uncompressed, of a known type, and JSON read with the place of what is wrong.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponseBuilder, http::header, web};
use futures_util::StreamExt as _;
use serde::{Deserialize, de::DeserializeOwned};

use super::problem::{Code, Problem};

/// Most unknown fields named in one `Beckon-Warning`.
const UNKNOWN_NAMED_MAX: usize = 10;

/// Most headers of warnings in one answer.
const WARNINGS_MAX: usize = 10;
/// Longest locale or time zone, in bytes.
const SHORT_BYTES_MAX: usize = 100;

/// A body has arrived whole within this, or is given up.
const ARRIVAL_TIMEOUT: Duration = Duration::from_mins(2);

/// Reads a body of at most `bytes_max`.
pub(super) async fn read(
    request: &HttpRequest,
    mut payload: web::Payload,
    bytes_max: usize,
) -> Result<web::Bytes, Problem> {
    refuse_encoding(request)?;
    refuse_announced(request, bytes_max as u64)?;
    let arrive = async {
        let mut body = web::BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|error| Problem::new(Code::BodyIncomplete, error.to_string()))?;
            if body.len() + chunk.len() > bytes_max {
                return Err(too_large(bytes_max as u64));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    tokio::time::timeout(ARRIVAL_TIMEOUT, arrive).await.unwrap_or_else(|_| {
        let detail = format!("the body did not arrive within {} s", ARRIVAL_TIMEOUT.as_secs());
        Err(Problem::new(Code::BodyIncomplete, detail))
    })
}

/// Refuses a compressed body.
pub(super) fn refuse_encoding(request: &HttpRequest) -> Result<(), Problem> {
    let encoding = request.headers().get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::new(
            Code::EncodingUnsupported,
            "send the body without Content-Encoding",
        ));
    }
    Ok(())
}

/// Refuses a body that announces itself as larger than it may be.
pub(super) fn refuse_announced(request: &HttpRequest, bytes_max: u64) -> Result<(), Problem> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > bytes_max) {
        return Err(too_large(bytes_max));
    }
    Ok(())
}

pub(super) fn too_large(bytes_max: u64) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("the body is larger than {bytes_max} bytes"))
}

/// The content type without its parameters, in lower case; empty when there is none.
pub(super) fn content_type(request: &HttpRequest) -> String {
    let value = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Refuses a body that says that it is not JSON.
fn expect_json(request: &HttpRequest) -> Result<(), Problem> {
    let kind = content_type(request);
    if kind.is_empty() || kind == "application/json" || kind.ends_with("+json") {
        return Ok(());
    }
    Err(Problem::new(
        Code::ContentTypeUnsupported,
        format!("`{kind}` is not taken here; send application/json"),
    ))
}

/// Field names that nobody knows, for the `Beckon-Warning` header.
#[derive(Debug, Default)]
pub(super) struct UnknownFields(Vec<String>);

impl UnknownFields {
    fn note(&mut self, path: String) {
        if self.0.len() < UNKNOWN_NAMED_MAX && !self.0.contains(&path) {
            self.0.push(path);
        }
    }

    /// Adds the header where there is something to warn of.
    pub(super) fn warn(&self, response: &mut HttpResponseBuilder) {
        if self.0.is_empty() {
            return;
        }
        let printable = |c: char| if c.is_ascii_graphic() { c } else { '?' };
        let names: Vec<String> = self
            .0
            .iter()
            .map(|name| name.chars().map(printable).collect())
            .collect();
        response.insert_header((
            "Beckon-Warning",
            format!("unknown fields ignored: {}", names.join(", ")),
        ));
    }
}

/// Adds a `Beckon-Warning` header for what was taken but should be looked at.
pub(super) fn warn(response: &mut HttpResponseBuilder, warnings: &[String]) {
    let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    for warning in warnings.iter().take(WARNINGS_MAX) {
        let warning: String = warning.chars().map(printable).collect();
        response.append_header(("Beckon-Warning", warning));
    }
}

/// Reads a JSON body of at most `bytes_max` into `T`, and tells which fields nobody knows.
pub(super) async fn read_json<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: web::Payload,
    bytes_max: usize,
) -> Result<(T, UnknownFields), Problem> {
    expect_json(request)?;
    let bytes = read(request, payload, bytes_max).await?;
    let mut unknown = UnknownFields::default();
    let value = parse(&bytes, &mut unknown)?;
    Ok((value, unknown))
}

/// The same for a body that may be missing.
pub(super) async fn read_optional_json<T: DeserializeOwned + Default>(
    request: &HttpRequest,
    payload: web::Payload,
    bytes_max: usize,
) -> Result<(T, UnknownFields), Problem> {
    expect_json(request)?;
    let bytes = read(request, payload, bytes_max).await?;
    let mut unknown = UnknownFields::default();
    let value = if bytes.is_empty() {
        T::default()
    } else {
        parse(&bytes, &mut unknown)?
    };
    Ok((value, unknown))
}

/// Reads JSON into `T`. What is no JSON is named by byte, what is no `T` by JSON pointer.
pub(super) fn parse<'de, T: Deserialize<'de>>(body: &'de [u8], unknown: &mut UnknownFields) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let parsed = serde_ignored::deserialize(&mut deserializer, |path| {
        // An optional object shows in the path as `?`.
        unknown.note(path.to_string().replace(".?", ""));
    });
    match parsed.and_then(|value| deserializer.end().map(|()| value)) {
        Ok(value) => Ok(value),
        Err(error) if error.is_data() => Err(locate::<T>(body, &error)),
        Err(error) => Err(broken(body, &error)),
    }
}

/// Reads once more, slowly, to find where it went wrong.
fn locate<'de, T: Deserialize<'de>>(body: &'de [u8], error: &serde_json::Error) -> Problem {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let pointer = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Ok(_) => String::new(),
        Err(error) => error.path().iter().map(pointer_part).collect(),
    };
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    Problem::field(Code::FieldInvalid, pointer, message)
}

fn pointer_part(segment: &serde_path_to_error::Segment) -> String {
    match segment {
        serde_path_to_error::Segment::Seq { index } => format!("/{index}"),
        serde_path_to_error::Segment::Map { key } => format!("/{key}"),
        serde_path_to_error::Segment::Enum { .. } | serde_path_to_error::Segment::Unknown => String::new(),
    }
}

/// A locale or time zone: not empty, and no longer than such names are.
pub(super) fn short_text(pointer: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.is_empty() || text.len() > SHORT_BYTES_MAX => {
            let detail = format!("must have 1 to {SHORT_BYTES_MAX} bytes");
            Err(Problem::field(Code::FieldInvalid, pointer, detail))
        }
        text => Ok(text),
    }
}

/// The name of a zone that there is.
pub(super) fn time_zone(pointer: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    let zone = short_text(pointer, text)?;
    match &zone {
        Some(name) if jiff::tz::TimeZone::get(name).is_err() => {
            let detail = format!("`{name}` is no IANA time zone, such as Europe/Lisbon");
            Err(Problem::field(Code::FieldInvalid, pointer, detail))
        }
        _ => Ok(zone),
    }
}

/// A problem that names the byte (from 0) at which the body stops being JSON.
pub(super) fn broken(body: &[u8], error: &serde_json::Error) -> Problem {
    let line_start: usize = body
        .split_inclusive(|byte| *byte == b'\n')
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    let byte = (line_start + error.column().saturating_sub(1)).min(body.len());
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    Problem::new(Code::JsonBroken, format!("broken JSON at byte {byte}: {message}"))
}
