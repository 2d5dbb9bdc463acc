//! A staff directory with a JSON API: `GET|POST /people/`, `GET|PATCH|DELETE /people/{login}`.

use usher_sdk::prelude::*;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    /// Where the API is, for example `https://directory.example.com/api`.
    base_url: String,
}
struct Directory(Settings);

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
        let schema = Schema::new().attribute("login", login);
        Ok(schema.attribute("name", Attribute::text()))
    }
    fn create(&self, _: &Write, attributes: &Attributes) -> Result<Account, Error> {
        let answer = Http::post(self.url("")).json(attributes).send()?;
        let answer = answer.ok_or_conflict(attributes.required_text("login")?)?;
        account(answer.json()?)
    }
    fn update(&self, _: &Write, id: &str, request: &UpdateRequest) -> Result<Account, Error> {
        account(Http::patch(self.url(id)).json(&request.merge_patch()).fetch()?)
    }
    fn set_enabled(&self, _: &Write, id: &str, enabled: bool) -> Result<Account, Error> {
        let body = json!({ "active": enabled });
        account(Http::patch(self.url(id)).json(&body).fetch()?)
    }
    fn delete(&self, _: &Write, id: &str) -> Result<(), Error> {
        Http::delete(self.url(id)).send()?.found().map(|_| ())
    }
    fn get(&self, id: &str) -> Result<Option<Account>, Error> {
        let answer = Http::get(self.url(id)).send()?.found()?;
        answer.map(|answer| account(answer.json()?)).transpose()
    }
    fn list(&self, cursor: Option<&str>, limit: u32) -> Result<Page<Account>, Error> {
        let request = Http::get(self.url("")).query("after", cursor.unwrap_or_default());
        let people: Vec<Value> = request.query("limit", limit.to_string()).fetch()?;
        let accounts = people.into_iter().map(account).collect::<Result<_, _>>()?;
        Ok(Page::until_empty(accounts))
    }
}

impl Directory {
    fn url(&self, login: &str) -> String {
        format!("{}/people/{}", self.0.base_url, encode(login))
    }
}

fn account(person: Value) -> Result<Account, Error> {
    let mut attributes = Attributes::try_from(person)?;
    let active = attributes.remove("active") != Some(Value::Bool(false));
    let login = attributes.required_text("login")?.to_owned();
    Ok(Account::new(login).attributes(attributes).status(active))
}

usher_sdk::export!(Directory);

#[cfg(test)]
mod tests;
