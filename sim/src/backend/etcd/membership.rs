//! The members of the cluster: as many as it has begun with, which cannot be changed. Headers of these answers have no
//! revision, as etcd's have none.

use std::time::Duration;

use shaketable_proto::etcd::v3::rpc::{
    Member, MemberAddRequest, MemberListResponse, MemberPromoteRequest, MemberRemoveRequest, MemberUpdateRequest,
    MemberUpdateResponse, ResponseHeader,
};

use super::Etcd;
use super::refusal::Refusal;

/// What a cluster that grows would need.
const NO_SECOND_MEMBER: &str =
    "the simulated etcd has one member, and no second can be added: an etcd would wait for it from then on";

/// What a cluster that shrinks would need.
const NO_CHANGE: &str =
    "the members of the simulated cluster are those that it has begun with; none can be added or removed";

impl Etcd {
    /// The members of the cluster.
    pub fn member_list(&mut self, now: Duration) -> MemberListResponse {
        self.advance(now);
        MemberListResponse { header: Some(self.member_header()), members: self.members() }
    }

    /// Refuses to add a member.
    pub fn member_add(&mut self, now: Duration, request: &MemberAddRequest) -> Refusal {
        self.advance(now);
        if request.peer_ur_ls.is_empty() || !request.peer_ur_ls.iter().all(|url| is_peer_url(url)) {
            Refusal::BadMemberUrls
        } else if request.peer_ur_ls.iter().any(|url| self.members().iter().any(|known| known.peer_ur_ls.contains(url)))
        {
            self.propose(request).err().unwrap_or(Refusal::PeerUrlExists)
        } else {
            Refusal::NotSimulated(if self.is_one_of_several() { NO_CHANGE } else { NO_SECOND_MEMBER })
        }
    }

    /// Refuses to remove a member: the only one stays, and there is no other.
    pub fn member_remove(&mut self, now: Duration, request: &MemberRemoveRequest) -> Refusal {
        self.advance(now);
        if self.is_one_of_several() && self.members().iter().any(|member| member.id == request.id) {
            Refusal::NotSimulated(NO_CHANGE)
        } else if request.id == self.config.member_id {
            Refusal::NotEnoughMembers
        } else {
            self.propose(request).err().unwrap_or(Refusal::MemberNotFound)
        }
    }

    /// Changes the addresses by which members find each other.
    ///
    /// # Errors
    /// [`Refusal::MemberNotFound`].
    pub fn member_update(
        &mut self,
        now: Duration,
        request: MemberUpdateRequest,
    ) -> Result<MemberUpdateResponse, Refusal> {
        self.advance(now);
        self.propose(&request)?;
        if request.id == self.config.member_id {
            self.config.peer_urls = request.peer_ur_ls;
        } else {
            let other = self.config.others.iter_mut().find(|other| other.id == request.id);
            other.ok_or(Refusal::MemberNotFound)?.peer_urls = request.peer_ur_ls;
        }
        Ok(MemberUpdateResponse { header: Some(self.member_header()), members: self.members() })
    }

    /// Refuses to make a learner a member that votes: there is none.
    pub fn member_promote(&mut self, now: Duration, request: &MemberPromoteRequest) -> Refusal {
        self.advance(now);
        let is_member = self.members().iter().any(|member| member.id == request.id);
        let refusal = if is_member { Refusal::MemberNotLearner } else { Refusal::MemberNotFound };
        self.propose(request).err().unwrap_or(refusal)
    }

    fn members(&self) -> Vec<Member> {
        let own = Member {
            id: self.config.member_id,
            name: self.config.member_name.clone(),
            peer_ur_ls: self.config.peer_urls.clone(),
            client_ur_ls: self.config.client_urls.clone(),
            is_learner: false,
        };
        let others = self.config.others.iter().map(|other| Member {
            id: other.id,
            name: other.name.clone(),
            peer_ur_ls: other.peer_urls.clone(),
            client_ur_ls: other.client_urls.clone(),
            is_learner: false,
        });
        let mut members: Vec<_> = others.chain([own]).collect();
        members.sort_unstable_by_key(|member| member.id);
        members
    }

    fn member_header(&self) -> ResponseHeader {
        ResponseHeader { revision: 0, ..self.header() }
    }
}

/// etcd's `types.NewURLs`: a scheme that it knows, a host with a port, and no path.
fn is_peer_url(url: &str) -> bool {
    let rest = ["http://", "https://", "unix://", "unixs://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let unix = url.starts_with("unix");
    rest.is_some_and(|rest| {
        let port = rest.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        unix || (port.is_some() && !rest.contains('/'))
    })
}
