//! What the demo's feature server stores and computes: two views, three on-demand views, one feature service.
//!
//! The same registry is in `policies/demo/catalogue.yaml`; a test holds the two together.

use serde_json::{Value, json};

/// The one join key.
pub const JOIN_KEY: &str = "customer_id";

/// When everything was stored.
pub const STORED_AT: &str = "2026-11-22T08:00:00Z";

/// A table: the names of its columns, then a line a customer. An empty cell is a null.
pub struct View {
    /// Its name in a reference.
    pub name: &'static str,
    table: &'static str,
}

/// Social security numbers do not begin with 9: these are nobody's.
pub const VIEWS: &[View] = &[
    View {
        name: "customer",
        table: "\
customer_id,name,email,ssn,country,age,income,segment
1001,Ada Brandt,ada.brandt@post.example,900-11-1001,DE,34,54000.0,plus
1002,Bao Nguyen,bao@mail.example,900-12-1002,VN,27,21500.0,basic
1003,Carla Ricci,carla.ricci@post.example,900-13-1003,IT,45,73200.0,plus
1004,Dmitri Orlov,d.orlov@firm.example,900-14-1004,EE,51,38800.0,basic
1005,Efua Mensah,efua@mail.example,900-15-1005,GH,38,46100.0,gold
1006,Frida Lund,frida@firm.example,900-16-1006,SE,62,91000.0,gold
1007,Goran Babic,goran.b@mail.example,900-17-1007,HR,23,,basic
1008,Hana Sato,hana@post.example,900-18-1008,JP,31,60400.0,plus
1009,Ines Duarte,ines.duarte@mail.example,900-19-1009,PT,29,33000.0,basic
1010,Jack Boyle,jack@firm.example,900-20-1010,IE,57,84500.0,gold
",
    },
    View {
        name: "activity",
        table: "\
customer_id,count_7d,amount_7d,avg_amount,last_merchant
1001,4,212.4,53.1,Book Corner
1002,1,18.0,18.0,Noodle Bar
1003,7,868.7,124.1,Silk & Co
1004,2,61.0,30.5,Fuel Stop 12
1005,5,402.5,80.5,Green Grocer
1006,9,1530.0,170.0,Harbour Travel
1007,0,0.0,0.0,
1008,3,144.9,48.3,Paper Crane
1009,6,197.4,32.9,Corner Bakery
1010,2,960.0,480.0,Bike Works
",
    },
];

impl View {
    /// The features, without the join key.
    pub fn columns(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.table.lines().next().unwrap_or_default().split(',').skip(1)
    }

    /// The stored value of a customer: `None` where there is no such customer or column.
    pub fn value(&self, customer: i64, column: &str) -> Option<Value> {
        let place = self.columns().position(|name| name == column)?;
        let customer = customer.to_string();
        let row = self.table.lines().skip(1).find(|row| row.split(',').next() == Some(&customer))?;
        row.split(',').nth(place + 1).map(cell)
    }
}

fn cell(text: &str) -> Value {
    if text.is_empty() {
        Value::Null
    } else if let Ok(number) = text.parse::<i64>() {
        json!(number)
    } else if let Ok(number) = text.parse::<f64>() {
        json!(number)
    } else {
        json!(text)
    }
}

/// How many customers there are.
pub fn customers() -> usize {
    VIEWS.first().map_or(0, |view| view.table.lines().count() - 1)
}

/// What an on-demand view reads for one row: stored features and request fields, by their bare names.
pub type Inputs<'a> = &'a dyn Fn(&str) -> Value;

/// An output: its name, and how it is computed. The error is the text with which Feast's Python would fail.
pub type Output = (&'static str, fn(Inputs<'_>) -> Result<Value, String>);

/// A view that is computed at the request.
pub struct OnDemand {
    /// Its name in a reference.
    pub name: &'static str,
    /// The stored features that it reads: view and column. `*`: all of the view, read or not.
    pub sources: &'static [(&'static str, &'static str)],
    /// The request fields that it reads.
    pub fields: &'static [&'static str],
    /// What it computes.
    pub outputs: &'static [Output],
}

/// The on-demand views.
pub const ON_DEMAND: &[OnDemand] = &[
    OnDemand {
        name: "checkout_risk",
        sources: &[("customer", "income"), ("activity", "amount_7d")],
        fields: &["basket_total"],
        outputs: &[("score", score), ("basket_to_income", basket_to_income)],
    },
    OnDemand {
        name: "contact",
        sources: &[("customer", "*")],
        fields: &[],
        outputs: &[("email_domain", email_domain)],
    },
    OnDemand {
        name: "loyalty",
        sources: &[("activity", "count_7d"), ("activity", "avg_amount")],
        fields: &[],
        outputs: &[("band", band)],
    },
];

/// The feature services: a name, and what it stands for.
pub const SERVICES: &[(&str, &[&str])] =
    &[("checkout", &["customer:country", "customer:segment", "activity:avg_amount", "checkout_risk:score"])];

/// A number, or `None` for a null.
fn number(inputs: Inputs<'_>, name: &str) -> Result<Option<f64>, String> {
    match inputs(name) {
        Value::Null => Ok(None),
        Value::Number(number) => Ok(number.as_f64()),
        Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            Err("unsupported operand type(s) for /: 'str' and 'float'".to_owned())
        }
    }
}

fn rounded(number: f64) -> Value {
    json!((number * 1000.0).round() / 1000.0)
}

/// 0 to 1: higher for a basket that is large beside a month's income and beside what was bought in a week.
fn score(inputs: Inputs<'_>) -> Result<Value, String> {
    let (basket, income) = (number(inputs, "basket_total")?, number(inputs, "income")?);
    let (Some(basket), Some(income), Some(week)) = (basket, income, number(inputs, "amount_7d")?) else {
        return Ok(Value::Null);
    };
    let months = basket / (income / 12.0);
    Ok(rounded(0.6 * months / (1.0 + months) + 0.4 * basket / (basket + week)))
}

fn basket_to_income(inputs: Inputs<'_>) -> Result<Value, String> {
    let (basket, income) = (number(inputs, "basket_total")?, number(inputs, "income")?);
    Ok(basket.zip(income).map_or(Value::Null, |(basket, income)| json!(basket / income)))
}

fn email_domain(inputs: Inputs<'_>) -> Result<Value, String> {
    let address = inputs("email");
    let domain = address.as_str().and_then(|address| address.rsplit_once('@'));
    Ok(domain.map_or(Value::Null, |(_, domain)| json!(domain)))
}

fn band(inputs: Inputs<'_>) -> Result<Value, String> {
    let (count, average) = (number(inputs, "count_7d")?, number(inputs, "avg_amount")?);
    Ok(count.zip(average).map_or(Value::Null, |(count, average)| match (count >= 5.0, average >= 50.0) {
        (true, true) => json!("gold"),
        (true, false) | (false, true) => json!("silver"),
        (false, false) => json!("bronze"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(view: &str, customer: i64, column: &str) -> Option<Value> {
        VIEWS.iter().find(|v| v.name == view).unwrap().value(customer, column)
    }

    #[test]
    fn every_row_is_whole_and_the_averages_are_right() {
        for view in VIEWS {
            for row in view.table.lines() {
                assert_eq!(row.split(',').count(), view.columns().count() + 1, "{row}");
            }
        }
        for customer in 1001..1011 {
            let of = |column: &str| stored("activity", customer, column).unwrap().as_f64().unwrap();
            let average = of("amount_7d") / of("count_7d").max(1.0);
            assert!((of("avg_amount") - average).abs() < 0.06, "{customer}: {average}");
            assert!(stored("customer", customer, "ssn").unwrap().as_str().unwrap().starts_with('9'));
        }
        assert_eq!(customers(), 10);
    }

    #[test]
    fn cells_have_their_types() {
        assert_eq!(stored("customer", 1001, "age"), Some(json!(34)));
        assert_eq!(stored("customer", 1001, "income"), Some(json!(54000.0)));
        assert_eq!(stored("customer", 1007, "income"), Some(Value::Null));
        assert_eq!(stored("customer", 1001, "name"), Some(json!("Ada Brandt")));
        assert_eq!(stored("customer", 1011, "name"), None);
        assert_eq!(stored("customer", 1001, "nope"), None);
    }

    #[test]
    fn on_demand_views_compute() {
        let inputs = |name: &str| match name {
            "basket_total" => json!(900),
            "income" => json!(54000.0),
            "amount_7d" => json!(100.0),
            "count_7d" => json!(5),
            "avg_amount" => json!(20.0),
            "email" => json!("a@b.example"),
            _ => Value::Null,
        };
        assert_eq!(score(&inputs), Ok(json!(0.46)));
        assert_eq!(basket_to_income(&inputs), Ok(json!(900.0 / 54000.0)));
        assert_eq!(email_domain(&inputs), Ok(json!("b.example")));
        assert_eq!(band(&inputs), Ok(json!("silver")));
        assert_eq!(score(&|_: &str| Value::Null), Ok(Value::Null));
        let text = |_: &str| json!("abc");
        assert_eq!(score(&text), Err("unsupported operand type(s) for /: 'str' and 'float'".to_owned()));
    }
}
