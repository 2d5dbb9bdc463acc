//! A staff directory with a JSON API: `GET|POST /people/`, `GET|PATCH|DELETE /people/{login}`.

use schemars::JsonSchema;
use serde::Deserialize;
use usher_sdk::prelude::*;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    /// Where the API is, for example `https://directory.example.com/api`.
    base_url: String,
}

struct Directory(Settings);

#[derive(Deserialize)]
struct Person {
    active: bool,
    #[serde(flatten)]
    attributes: Attributes,
}

impl Connector for Directory {
    type Settings = Settings;
    const NAME: &'static str = "directory";

    fn new(settings: Settings) -> Result<Self, Error> {
        Ok(Self(settings))
    }
    fn capabilities(_: Option<&Settings>) -> Vec<Capability> {
        vec![Capability::Disable, Capability::Delete]
    }
    fn creation(_: Option<&Settings>) -> Creation {
        Creation::ClientId("login".to_owned())
    }
    fn check(&self) -> Result<CheckReport, Error> {
        Ok(CheckReport::new().step("read people", self.list(None, 1).map(|_| "works")))
    }
}

impl Accounts for Directory {
    fn schema(&self) -> Result<Schema, Error> {
        let login = Attribute::text().required().unique().create_only();
        Ok(Schema::new()
            .attribute("login", login)
            .attribute("name", Attribute::text()))
    }
    fn create(&self, _: &Write, attributes: &Attributes) -> Result<Account, Error> {
        let answer = Http::post(self.url("")).json(attributes).send()?;
        answer
            .ok_or_conflict(attributes.required_text("login")?)?
            .json()
            .and_then(account)
    }
    fn update(&self, _: &Write, id: &str, request: &UpdateRequest) -> Result<Account, Error> {
        Http::patch(self.url(id))
            .json(&request.merge_patch())
            .send()?
            .ok()?
            .json()
            .and_then(account)
    }
    fn set_enabled(&self, _: &Write, id: &str, enabled: bool) -> Result<Account, Error> {
        Http::patch(self.url(id))
            .json(&json!({ "active": enabled }))
            .send()?
            .ok()?
            .json()
            .and_then(account)
    }
    fn delete(&self, _: &Write, id: &str) -> Result<(), Error> {
        Http::delete(self.url(id)).send()?.found().map(|_| ())
    }
    fn get(&self, id: &str) -> Result<Option<Account>, Error> {
        Http::get(self.url(id))
            .send()?
            .found()?
            .map(|answer| answer.json().and_then(account))
            .transpose()
    }
    fn list(&self, cursor: Option<&str>, limit: u32) -> Result<Page<Account>, Error> {
        let request = Http::get(self.url("")).query("limit", limit.to_string());
        let people: Vec<Person> = request
            .query("after", cursor.unwrap_or(""))
            .send()?
            .ok()?
            .json()?;
        let accounts = people.into_iter().map(account).collect::<Result<Vec<_>, _>>()?;
        let next = accounts.last().map(|account| account.id.clone()); // An empty page is the last one.
        Ok(Page::new(accounts, next))
    }
}

impl Directory {
    fn url(&self, login: &str) -> String {
        format!("{}/people/{}", self.0.base_url, encode(login))
    }
}

fn account(person: Person) -> Result<Account, Error> {
    let login = person.attributes.required_text("login")?.to_owned();
    Ok(Account::new(login)
        .attributes(person.attributes)
        .status(person.active))
}

usher_sdk::export!(Directory);
