//! Images: inspect, save, load, tag, import.

use std::io::Read;

use hyper::Method;
use serde_json::Value;

use super::http::{Body, STREAM, escape};
use super::{DockerEngine, text};
use crate::{Error, Result};

/// What the engine said after `load`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadedImages {
    /// Ids of images that were loaded without a name.
    pub ids: Vec<String>,
    /// Names of images that were loaded with one.
    pub names: Vec<String>,
}

impl DockerEngine {
    /// Raw `/images/{name or id}/json`.
    ///
    /// # Errors
    /// No such image.
    pub fn inspect_image(&self, name: &str) -> Result<Value> {
        self.get_json(
            &format!("/images/{}/json", escape(name)),
            &format!("inspect image {name}"),
        )
    }

    /// Images by name or id as one tar stream, as `docker save` writes it: a legacy layout up to 24, an
    /// OCI layout with Docker's `manifest.json` from 25 on. Layers that images share are in it once.
    ///
    /// # Errors
    /// No such image.
    pub fn save_images(&self, names: &[&str]) -> Result<Box<dyn Read + Send>> {
        let context = format!("save image {}", names.join(", "));
        let query: Vec<String> = names
            .iter()
            .map(|name| format!("names={}", escape(name)))
            .collect();
        let path = format!("/images/get?{}", query.join("&"));
        let answer = self.call_within(Method::GET, &path, Body::Empty, &context, STREAM)?;
        Ok(Box::new(answer.body))
    }

    /// Loads images from a tar stream as `docker save` writes it. Tags in the stream **move**: a stream
    /// that must not touch any carries none.
    ///
    /// # Errors
    /// The engine refuses the stream, or the reader fails (then nothing is loaded).
    pub fn load_images(&self, tar: &mut dyn Read) -> Result<LoadedImages> {
        let context = "load images";
        let answer = self.call_within(
            Method::POST,
            "/images/load?quiet=1",
            Body::Tar(tar),
            context,
            STREAM,
        )?;
        let mut loaded = LoadedImages::default();
        for message in messages(answer, context)? {
            let line = text(&message, "stream").trim();
            if let Some(id) = line.strip_prefix("Loaded image ID: ") {
                loaded.ids.push(id.to_owned());
            } else if let Some(name) = line.strip_prefix("Loaded image: ") {
                let list = if name.starts_with("sha256:") {
                    &mut loaded.ids
                } else {
                    &mut loaded.names
                };
                list.push(name.to_owned());
            }
        }
        Ok(loaded)
    }

    /// Makes an image from the tar stream of a file system and returns its id. `changes` are Dockerfile
    /// lines (`LABEL a=b`); `name` may be empty.
    ///
    /// # Errors
    /// The engine refuses the stream, or the reader fails.
    pub fn import_image(&self, tar: &mut dyn Read, name: &str, changes: &[&str]) -> Result<String> {
        let context = "import an image";
        let mut path = "/images/create?fromSrc=-".to_owned();
        if !name.is_empty() {
            path.push_str(&format!("&repo={}", escape(name)));
        }
        for change in changes {
            path.push_str(&format!("&changes={}", escape(change)));
        }
        let answer = self.call_within(Method::POST, &path, Body::Tar(tar), context, STREAM)?;
        let messages = messages(answer, context)?;
        let mut ids = messages
            .iter()
            .map(|message| text(message, "status").trim());
        ids.rfind(|id| id.starts_with("sha256:"))
            .map(str::to_owned)
            .ok_or_else(|| Error::Protocol {
                context: context.to_owned(),
                why: "it names no id".to_owned(),
            })
    }

    /// Gives an image a further tag, `name:tag`. An existing tag **moves**.
    ///
    /// # Errors
    /// No such image, or the tag is not valid.
    pub fn tag_image(&self, id: &str, tag: &str) -> Result<()> {
        let (repo, tag_part) = split_tag(tag);
        let path = format!(
            "/images/{}/tag?repo={}&tag={}",
            escape(id),
            escape(repo),
            escape(tag_part)
        );
        self.post(&path, Body::Empty, &format!("tag image {id} as {tag}"))
            .map(drop)
    }

    /// Removes a tag, or an image by id.
    ///
    /// # Errors
    /// No such image, or a container uses it and `force` is not given.
    pub fn remove_image(&self, name: &str, force: bool) -> Result<()> {
        self.delete(
            &format!("/images/{}?force={force}", escape(name)),
            &format!("remove image {name}"),
        )
    }

    /// What a create body should name so that a container gets exactly this image: the reference it was
    /// made from where that means this image here, the id otherwise.
    ///
    /// # Errors
    /// The engine does not answer.
    pub fn image_for_create(&self, reference: &str, id: &str) -> Result<String> {
        if reference.is_empty() || reference == id {
            return Ok(id.to_owned());
        }
        match self.inspect_image(reference) {
            Ok(raw) if text(&raw, "Id") == id => Ok(reference.to_owned()),
            Ok(_) => Ok(id.to_owned()),
            Err(error) if error.is_not_found() => Ok(id.to_owned()),
            Err(error) => Err(error),
        }
    }
}

/// `host:5000/name:tag` into name and tag; the tag is empty if there is none.
pub(super) fn split_tag(reference: &str) -> (&str, &str) {
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (reference, ""),
    }
}

/// The JSON messages of a progress stream. An error among them is the operation's: the status was sent
/// before it happened.
fn messages(mut answer: super::answer::Answer, context: &str) -> Result<Vec<Value>> {
    let body = answer.bytes(context)?;
    let status = answer.status;
    let mut out = Vec::new();
    for message in serde_json::Deserializer::from_slice(&body).into_iter::<Value>() {
        let message = message.map_err(|error| Error::Protocol {
            context: context.to_owned(),
            why: error.to_string(),
        })?;
        if let Some(words) = message.get("error").and_then(Value::as_str) {
            return Err(Error::Refused {
                context: context.to_owned(),
                status,
                message: words.to_owned(),
            });
        }
        out.push(message);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::split_tag;

    #[test]
    fn a_port_is_no_tag() {
        assert_eq!(split_tag("host:5000/a/b:1"), ("host:5000/a/b", "1"));
        assert_eq!(split_tag("host:5000/a/b"), ("host:5000/a/b", ""));
        assert_eq!(split_tag("busybox"), ("busybox", ""));
    }
}
