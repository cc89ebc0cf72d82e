//! Feast's other doors, each open where `routes` lists it: vector search, vector stores, writes (wire-feast.md, section 2).

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use super::{in_json, post};
use crate::config::Enforcement;
use crate::config::feast::Door;
use crate::dialect::feast::search::{self, Search, Store};
use crate::dialect::feast::write::{self, Kinds};
use crate::dialect::feast::{self, Permit};
use crate::dialect::{self, Query, Unreadable};
use crate::policy::settings::Mode;
use crate::proxy::body::Incoming;
use crate::proxy::respond::{Body, Failure};
use crate::proxy::{Asked, Exchange, forward};
use crate::snapshot::{Decided, Snapshot};

impl Exchange<'_> {
    pub(in crate::proxy) async fn feast_door(
        &mut self,
        snapshot: &Arc<Snapshot>,
        door: Door,
        roles: Option<&[String]>,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        let asked = self.asked(snapshot, &parts.headers).await?;
        self.is_for(snapshot, &asked, roles)?;
        let id = door.id(parts.uri.path()).unwrap_or_default();
        match door {
            Door::Search | Door::Documents => self.search(snapshot, &asked, parts, incoming).await,
            Door::Stores => self.stores(snapshot, &asked, parts).await,
            Door::Store => self.one_store(snapshot, &asked, parts, id).await,
            Door::StoreSearch => self.search_in_store(snapshot, &asked, parts, id, incoming).await,
            Door::Push => self.write(snapshot, &asked, parts, Kinds::Push, incoming).await,
            Door::Write => self.write(snapshot, &asked, parts, Kinds::View, incoming).await,
            Door::Materialize => self.write(snapshot, &asked, parts, Kinds::Materialize, incoming).await,
            Door::MaterializeIncremental => self.write(snapshot, &asked, parts, Kinds::Incremental, incoming).await,
        }
    }

    async fn search(
        &mut self,
        snapshot: &Arc<Snapshot>,
        asked: &Asked,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        forward::content(&parts.headers)?;
        let body = self.request_body(snapshot, incoming).await?;
        let request = search::read(&body)?;
        let decided = self.decide(snapshot, asked, Query::FeastSearch(&request.search))?;
        let permit = permitted(snapshot, &decided)?;
        let body = Bytes::from(request.rewrite(permit));
        let upstream = || post(body.clone());
        let (head, answer) = self.forward(snapshot, parts, &upstream, parts.uri.path(), true).await?;
        let filtered = in_json(&head).and_then(|()| feast::filter_columns(&answer, request.view_metadata, permit));
        let told = (decided.plan.mode == Mode::Filter).then_some(permit.filtered);
        self.feast_answer(snapshot.settings.enforcement, head, answer, filtered, told)
    }

    /// The list of vector stores, cut to those that the caller sees.
    async fn stores(
        &mut self,
        snapshot: &Arc<Snapshot>,
        asked: &Asked,
        parts: &Parts,
    ) -> Result<Response<Body>, Failure> {
        let (head, answer) = self.forward(snapshot, parts, &get, Door::Stores.path(), true).await?;
        let visible = search::visible(&snapshot.rules.policy, &asked.tables.tables);
        let filtered = in_json(&head).and_then(|()| search::filter_stores(&answer, &visible));
        self.feast_answer(snapshot.settings.enforcement, head, answer, filtered, None)
    }

    /// One of them. One that the caller does not see reads like one that there is not.
    async fn one_store(
        &mut self,
        snapshot: &Arc<Snapshot>,
        asked: &Asked,
        parts: &Parts,
        id: &str,
    ) -> Result<Response<Body>, Failure> {
        if !Store::is_id(id) {
            return Err(Failure::UpstreamFailed(Some(StatusCode::NOT_FOUND)));
        }
        let (head, answer) = self.forward(snapshot, parts, &get, parts.uri.path(), true).await?;
        let store = in_json(&head).and_then(|()| search::store(&answer, id));
        let enforcement = snapshot.settings.enforcement;
        if let (Ok(store), Enforcement::Enforce) = (&store, enforcement) {
            let visible = search::visible(&snapshot.rules.policy, &asked.tables.tables);
            if !visible.contains(&*store.view) {
                return Err(Failure::UpstreamFailed(Some(StatusCode::NOT_FOUND)));
            }
        }
        let filtered = store.map(|_| dialect::Answer::AsItCame);
        self.feast_answer(enforcement, head, answer, filtered, None)
    }

    /// Which view a vector store is, Feast is asked: the id is a hash of a name that only Feast knows whole, and means one
    /// view for ever.
    async fn search_in_store(
        &mut self,
        snapshot: &Arc<Snapshot>,
        asked: &Asked,
        parts: &Parts,
        id: &str,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        forward::content(&parts.headers)?;
        let body = self.request_body(snapshot, incoming).await?;
        let request = search::read_in_store(&body)?;
        let path = format!("{}/{id}", Door::Stores.path());
        let store = if Store::is_id(id) {
            match self.forward(snapshot, parts, &get, &path, true).await {
                Ok(answer) => Some(answer),
                Err(Failure::UpstreamFailed(Some(StatusCode::NOT_FOUND))) => None,
                Err(failure) => return Err(failure),
            }
        } else {
            None
        };
        let store = store.as_ref().map(|(head, answer)| in_json(head).and_then(|()| search::store(answer, id)));
        let store = store.transpose().map_err(|unreadable| self.never(&unreadable))?;
        let search: Search<'_> = request.search(id, store.as_ref().map(|store| &*store.view));
        let decided = self.decide(snapshot, asked, Query::FeastSearch(&search))?;
        let permit = permitted(snapshot, &decided)?;
        let body = Bytes::from(request.rewrite(permit));
        let upstream = || post(body.clone());
        let (head, answer) = self.forward(snapshot, parts, &upstream, parts.uri.path(), true).await?;
        let filtered = in_json(&head).and_then(|()| search::filter_found(&answer, id, &request, permit));
        let told = (decided.plan.mode == Mode::Filter).then_some(permit.filtered);
        self.feast_answer(snapshot.settings.enforcement, head, answer, filtered, told)
    }

    async fn write(
        &mut self,
        snapshot: &Arc<Snapshot>,
        asked: &Asked,
        parts: &Parts,
        kind: Kinds,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        forward::content(&parts.headers)?;
        let body = self.request_body(snapshot, incoming).await?;
        let request = write::read(kind, &body, parts.uri.query())?;
        let decided = self.decide(snapshot, asked, Query::FeastWrite(&request.write))?;
        let settings = &snapshot.settings;
        let permit = decided.permit(settings.name_members).map_err(Failure::FeaturesRefused)?;
        let dialect::Permit::FeastWrite(written) = permit else { return Err(Failure::NotFound) };
        let path = format!("{}{}", parts.uri.path(), request.query);
        let body = Bytes::from(request.body);
        let (head, answer) = self.forward(snapshot, parts, &|| post(body.clone()), &path, false).await?;
        let verified = match head.status {
            StatusCode::OK => write::verify(kind, false, &answer, written),
            StatusCode::ACCEPTED => write::verify(kind, true, &answer, written),
            _ => Err(Unreadable(format!("{} is not answered to a write", head.status.as_u16()))),
        };
        if let Err(unreadable) = verified {
            self.unreadable(settings.enforcement, &unreadable)?;
        }
        Ok(forward::answer_as_it_came(head, answer))
    }

    /// An answer that says which view is meant and cannot be read: nothing is decided then, in whichever enforcement.
    fn never(&mut self, unreadable: &Unreadable) -> Failure {
        self.unreadable(Enforcement::Enforce, unreadable).err().unwrap_or(Failure::UpstreamUnreadable)
    }
}

fn permitted<'d>(snapshot: &Snapshot, decided: &'d Decided) -> Result<&'d Permit, Failure> {
    match decided.permit(snapshot.settings.name_members).map_err(Failure::FeaturesRefused)? {
        dialect::Permit::Feast(permit) => Ok(permit),
        dialect::Permit::FeastWrite(_) | dialect::Permit::Chalk(_) | dialect::Permit::Json(_) => Err(Failure::NotFound),
    }
}

fn get() -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.method_mut() = Method::GET;
    request.headers_mut().insert(hyper::header::ACCEPT, super::JSON);
    request
}
