//! What a program adds to the control of its instance: settings of its own, who is asked before the configuration changes
//! and told afterwards, and probes.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::config::Config;
use crate::error::{Error, Result};

type Get = dyn Fn() -> String + Send + Sync;

/// What puts a value in force that was looked at.
pub(crate) type Apply = Box<dyn FnOnce() + Send>;

type Set = dyn Fn(&str) -> Result<Apply> + Send + Sync;
type Before = dyn Fn(&Config, &Config) -> Result<()> + Send + Sync;
type After = dyn Fn(u64, &Config) + Send + Sync;
type Look = dyn Fn() -> Value + Send + Sync;

/// All of it. Clones are of the same.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    settings: Vec<Arc<Setting>>,
    before: Vec<Arc<Before>>,
    after: Vec<Arc<After>>,
    probes: Vec<Arc<Probe>>,
}

/// A setting beside those of the configuration.
struct Setting {
    key: String,
    get: Box<Get>,
    set: Box<Set>,
}

/// A value that can be looked at.
pub(super) struct Probe {
    pub name: String,
    pub help: String,
    look: Box<Look>,
}

impl Probe {
    pub fn value(&self) -> Value {
        (self.look)()
    }
}

impl Hooks {
    pub fn add_setting<A: FnOnce() + Send + 'static>(
        &mut self,
        key: &str,
        get: impl Fn() -> String + Send + Sync + 'static,
        set: impl Fn(&str) -> Result<A> + Send + Sync + 'static,
    ) {
        let boxed = move |text: &str| set(text).map(|apply| -> Apply { Box::new(apply) });
        self.settings.retain(|setting| setting.key != key);
        let (key, get, set) = (key.to_owned(), Box::new(get), Box::new(boxed));
        self.settings.push(Arc::new(Setting { key, get, set }));
    }

    pub fn add_before(
        &mut self,
        ask: impl Fn(&Config, &Config) -> Result<()> + Send + Sync + 'static,
    ) {
        self.before.push(Arc::new(ask));
    }

    pub fn add_after(&mut self, tell: impl Fn(u64, &Config) + Send + Sync + 'static) {
        self.after.push(Arc::new(tell));
    }

    pub fn add_probe<V: Serialize>(
        &mut self,
        name: &str,
        help: &str,
        look: impl Fn() -> V + Send + Sync + 'static,
    ) {
        let look = move || serde_json::to_value(look()).unwrap_or(Value::Null);
        self.probes.retain(|probe| probe.name != name);
        let (name, help, look) = (name.to_owned(), help.to_owned(), Box::new(look));
        self.probes.push(Arc::new(Probe { name, help, look }));
    }

    /// The settings that were added, with their values.
    pub fn settings(&self) -> impl Iterator<Item = (&str, String)> {
        self.settings.iter().map(|setting| (setting.key.as_str(), (setting.get)()))
    }

    /// Whether a setting of this key was added.
    pub fn has_setting(&self, key: &str) -> bool {
        self.settings.iter().any(|setting| setting.key == key)
    }

    /// What puts `value` in force, and the value that is.
    ///
    /// # Errors
    /// When the setting refuses it, or is not there.
    pub fn prepare(&self, key: &str, value: &str) -> Result<(String, Apply)> {
        let setting = self.settings.iter().find(|setting| setting.key == key).ok_or_else(|| {
            Error::new(format!("set {key}"), "there is no such setting", "see `config get`")
        })?;
        let apply = (setting.set)(value).map_err(|error| {
            let what = format!("set {key} to {value}");
            Error::new(what, error.why(), error.remedy())
        })?;
        Ok(((setting.get)(), apply))
    }

    /// Asks all whether `new` may take the place of `old`; the first refusal is the answer.
    pub fn ask(&self, old: &Config, new: &Config) -> Result<()> {
        self.before.iter().try_for_each(|ask| ask(old, new))
    }

    /// Tells all what is in force.
    pub fn tell(&self, generation: u64, config: &Config) {
        self.after.iter().for_each(|tell| tell(generation, config));
    }

    pub(super) fn probes(&self) -> &[Arc<Probe>] {
        &self.probes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn level() -> (Arc<Mutex<String>>, Hooks) {
        let level = Arc::new(Mutex::new("info".to_owned()));
        let (read, write, mut hooks) = (level.clone(), level.clone(), Hooks::default());
        let get = move || read.lock().unwrap().clone();
        hooks.add_setting("log.level", get, move |text| {
            let (text, level) = (text.to_owned(), write.clone());
            if text == "loud" {
                return Err(Error::new("x", "there is no such level", "say info"));
            }
            Ok(move || *level.lock().unwrap() = text)
        });
        (level, hooks)
    }

    #[test]
    fn a_setting_changes_when_it_is_applied_and_not_before_a_12() {
        let (level, hooks) = level();
        let (was, apply) = hooks.prepare("log.level", "debug").unwrap();
        assert_eq!((was.as_str(), level.lock().unwrap().as_str()), ("info", "info"));
        apply();
        assert_eq!(*level.lock().unwrap(), "debug");
        assert_eq!(hooks.settings().collect::<Vec<_>>(), [("log.level", "debug".to_owned())]);
    }

    #[test]
    fn a_refusal_names_the_setting_and_the_value_a_12() {
        let (_, hooks) = level();
        let error = hooks.prepare("log.level", "loud").err().unwrap().to_string();
        assert_eq!(error, "cannot set log.level to loud: there is no such level; say info");
        assert!(hooks.prepare("log.color", "red").err().unwrap().why().contains("no such setting"));
    }
}
