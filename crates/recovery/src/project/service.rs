//! The files of one service.

use serde_json::Value;

use super::{
    Need, Role,
    reader::{Place, Reader, list, need},
};

const HOOKS: &[&str] = &["pre_start", "post_start", "pre_stop"];

pub(super) fn files(
    reader: &mut Reader<'_>,
    name: &str,
    service: &Value,
    active: bool,
    place: &Place<'_>,
) {
    let need = need(active);
    for entry in list(&service["env_file"]) {
        let optional = entry["required"] == Value::Bool(false)
            || entry["required"].as_str().is_some_and(|r| r == "false");
        let need = if optional { Need::Optional } else { need };
        if let Some(text) = entry.as_str().or(entry["path"].as_str()) {
            reader.name(text, Role::EnvFile, need, place);
        }
    }
    for text in list(&service["label_file"]).filter_map(Value::as_str) {
        reader.name(text, Role::LabelFile, need, place);
    }
    build(reader, &service["build"], place);
    if HOOKS
        .iter()
        .any(|hook| list(&service[*hook]).next().is_some())
    {
        reader.found.hooks.insert(name.to_owned());
    }
}

/// Building anew needs these; the image that was built is in the point anyway.
fn build(reader: &mut Reader<'_>, build: &Value, place: &Place<'_>) {
    if build.is_null() {
        return;
    }
    let text = build.as_str().or(build["context"].as_str()).unwrap_or(".");
    let context = if is_remote(text) {
        None
    } else {
        reader.name(text, Role::BuildContext, Need::Later, place)
    };
    let dockerfile = build["dockerfile"].as_str();
    if let (Some(folder), Some(text)) = (&context, dockerfile) {
        let at = Place { folder, ..*place };
        reader.name(text, Role::Dockerfile, Need::Later, &at);
    }
    let more = &build["additional_contexts"];
    let named = more.as_object().into_iter().flatten();
    let listed = list(more).filter_map(|entry| entry.as_str()?.split_once('='));
    let listed = listed.map(|(_, text)| text);
    for text in named.filter_map(|(_, text)| text.as_str()).chain(listed) {
        if !is_remote(text) && !text.starts_with("service:") {
            reader.name(text, Role::BuildContext, Need::Later, place);
        }
    }
}

/// `true` for what Compose or the builder fetches from elsewhere.
pub(super) fn is_remote(text: &str) -> bool {
    text.contains("://") || text.starts_with("git@") || text.starts_with("github.com/")
}
