//! Reads a JSON document field by field and remembers where it is, so that every refusal names the place (RFC 6901).

use serde_json::{Map, Value};

/// Nobody who writes a longer word meant a known one.
const WORD_BYTES_MAX: usize = 40;

/// What is wrong with a document, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {detail}")]
pub struct Refusal {
    /// JSON pointer of the place.
    pub pointer: String,
    /// What is wrong and what to do.
    pub detail: String,
}

/// One value of the document and its place.
#[derive(Clone)]
pub struct Node<'a> {
    value: &'a Value,
    pointer: String,
}

impl<'a> Node<'a> {
    /// The whole document.
    pub fn root(value: &'a Value) -> Self {
        Self {
            value,
            pointer: String::new(),
        }
    }

    /// The value here.
    pub fn value(&self) -> &'a Value {
        self.value
    }

    /// A refusal of this place.
    pub fn refuse(&self, detail: impl Into<String>) -> Refusal {
        Refusal {
            pointer: self.pointer.clone(),
            detail: detail.into(),
        }
    }

    fn below(&self, key: &str, value: &'a Value) -> Self {
        Self {
            value,
            pointer: format!("{}/{}", self.pointer, key.replace('~', "~0").replace('/', "~1")),
        }
    }

    /// The object here.
    pub fn object(&self) -> Result<&'a Map<String, Value>, Refusal> {
        self.value.as_object().ok_or_else(|| self.refuse("must be an object"))
    }

    /// Refuses fields that are not among `known`.
    pub fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.object()?.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => {
                let hint = hint(key, known);
                let detail = format!("unknown field; {hint}known here are {}", known.join(", "));
                Err(self.below(key, self.value).refuse(detail))
            }
        }
    }

    /// The field, unless it is absent or null.
    pub fn field(&self, key: &str) -> Result<Option<Self>, Refusal> {
        Ok(self
            .object()?
            .get(key)
            .filter(|value| !value.is_null())
            .map(|value| self.below(key, value)))
    }

    /// The field, or a refusal that it is missing.
    pub fn required(&self, key: &str) -> Result<Self, Refusal> {
        self.field(key)?
            .ok_or_else(|| self.below(key, self.value).refuse("is required"))
    }

    /// The items of the array here, at most `max`.
    pub fn items(&self, max: usize) -> Result<Vec<Self>, Refusal> {
        let items = self.value.as_array().ok_or_else(|| self.refuse("must be an array"))?;
        if items.len() > max {
            return Err(self.refuse(format!("has {} items, the limit is {max}", items.len())));
        }
        Ok(items
            .iter()
            .enumerate()
            .map(|(index, item)| self.below(&index.to_string(), item))
            .collect())
    }

    /// The fields of the object here.
    pub fn fields(&self) -> Result<Vec<(&'a str, Self)>, Refusal> {
        Ok(self
            .object()?
            .iter()
            .map(|(key, value)| (key.as_str(), self.below(key, value)))
            .collect())
    }

    /// The text here.
    pub fn text(&self) -> Result<&'a str, Refusal> {
        self.value.as_str().ok_or_else(|| self.refuse("must be a text"))
    }

    /// The number here.
    pub fn number(&self) -> Result<f64, Refusal> {
        self.value.as_f64().ok_or_else(|| self.refuse("must be a number"))
    }

    /// The number here, within bounds.
    pub fn number_within(&self, min: f64, max: f64) -> Result<f64, Refusal> {
        match self.number()? {
            number if (min..=max).contains(&number) => Ok(number),
            _ => Err(self.refuse(format!("must be from {min} to {max}"))),
        }
    }

    /// The whole number here, within bounds.
    pub fn integer(&self, min: i64, max: i64) -> Result<i64, Refusal> {
        self.value
            .as_i64()
            .filter(|number| (min..=max).contains(number))
            .ok_or_else(|| self.refuse(format!("must be a whole number from {min} to {max}")))
    }

    /// The truth value here.
    pub fn boolean(&self) -> Result<bool, Refusal> {
        self.value.as_bool().ok_or_else(|| self.refuse("must be true or false"))
    }

    /// The text here, made into something by `parse`.
    pub fn parse<T, E: std::fmt::Display>(&self, parse: impl FnOnce(&'a str) -> Result<T, E>) -> Result<T, Refusal> {
        parse(self.text()?).map_err(|error| self.refuse(error.to_string()))
    }

    /// The text here, which must be one of the names.
    pub fn one_of<T: Copy>(&self, names: &[(&str, T)]) -> Result<T, Refusal> {
        let text = self.text()?;
        names
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, value)| *value)
            .ok_or_else(|| {
                let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
                let near = did_you_mean(text, &known).map(|near| format!("; did you mean `{near}`?"));
                let text: String = text.chars().take(40).collect();
                self.refuse(format!(
                    "`{text}` is not one of {}{}",
                    known.join(", "),
                    near.unwrap_or_default()
                ))
            })
    }
}

/// The known word that somebody meant who wrote this one, if they are much alike.
pub fn did_you_mean<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    if written.len() > WORD_BYTES_MAX {
        return None;
    }
    let written = written.to_lowercase();
    let distance = |word: &&str| strsim::damerau_levenshtein(&written, &word.to_lowercase());
    let near = known.iter().copied().min_by_key(distance)?;
    (distance(&near) <= near.len() / 3).then_some(near)
}

fn hint(written: &str, known: &[&str]) -> String {
    let near = did_you_mean(written, known);
    near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default()
}
