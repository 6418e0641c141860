//! The services by which people look after an etcd: Cluster, Maintenance and Auth. Thin, as their neighbours.

use futures_util::stream::Empty;
use shaketable_proto::etcd::v3::rpc::{
    AlarmRequest, AlarmResponse, AuthDisableRequest, AuthDisableResponse, AuthEnableRequest, AuthEnableResponse,
    AuthRoleAddRequest, AuthRoleAddResponse, AuthRoleDeleteRequest, AuthRoleDeleteResponse, AuthRoleGetRequest,
    AuthRoleGetResponse, AuthRoleGrantPermissionRequest, AuthRoleGrantPermissionResponse, AuthRoleListRequest,
    AuthRoleListResponse, AuthRoleRevokePermissionRequest, AuthRoleRevokePermissionResponse, AuthUserAddRequest,
    AuthUserAddResponse, AuthUserChangePasswordRequest, AuthUserChangePasswordResponse, AuthUserDeleteRequest,
    AuthUserDeleteResponse, AuthUserGetRequest, AuthUserGetResponse, AuthUserGrantRoleRequest,
    AuthUserGrantRoleResponse, AuthUserListRequest, AuthUserListResponse, AuthUserRevokeRoleRequest,
    AuthUserRevokeRoleResponse, AuthenticateRequest, AuthenticateResponse, DefragmentRequest, DefragmentResponse,
    HashKvRequest, HashKvResponse, HashRequest, HashResponse, MemberAddRequest, MemberAddResponse, MemberListRequest,
    MemberListResponse, MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse,
    MemberUpdateRequest, MemberUpdateResponse, MoveLeaderRequest, MoveLeaderResponse, SnapshotRequest,
    SnapshotResponse, StatusRequest, StatusResponse, auth_server::Auth, cluster_server::Cluster,
    maintenance_server::Maintenance,
};
use tonic::{Request, Response, Status};

use super::Service;
use super::leadership::Asks;
use crate::backend::etcd::auth::{NO_ROLES, NO_USERS};
use crate::backend::etcd::{Etcd, Refusal};

/// Why there is no snapshot.
const NO_SNAPSHOT: &str = "the simulated etcd has no database file, so that it has no snapshot of one; `etcdctl get '' --prefix` tells all keys";

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Cluster for Service {
    async fn member_add(&self, request: Request<MemberAddRequest>) -> Answer<MemberAddResponse> {
        self.change(request, |etcd, now, request| Err(etcd.member_add(now, &request))).await
    }

    async fn member_remove(&self, request: Request<MemberRemoveRequest>) -> Answer<MemberRemoveResponse> {
        self.change(request, |etcd, now, request| Err(etcd.member_remove(now, &request))).await
    }

    async fn member_update(&self, request: Request<MemberUpdateRequest>) -> Answer<MemberUpdateResponse> {
        self.change(request, Etcd::member_update).await
    }

    async fn member_list(&self, request: Request<MemberListRequest>) -> Answer<MemberListResponse> {
        let linearizable = request.get_ref().linearizable
            && self.member.is_some()
            && self.handle.with(|etcd| etcd.line().lists_members_linearizably());
        self.lead(&request, if linearizable { Asks::SameLeader } else { Asks::Anybody }).await?;
        self.tell(Etcd::member_list)
    }

    async fn member_promote(&self, request: Request<MemberPromoteRequest>) -> Answer<MemberPromoteResponse> {
        self.change(request, |etcd, now, request| Err(etcd.member_promote(now, &request))).await
    }
}

#[tonic::async_trait]
impl Maintenance for Service {
    type SnapshotStream = Empty<Result<SnapshotResponse, Status>>;

    async fn alarm(&self, request: Request<AlarmRequest>) -> Answer<AlarmResponse> {
        self.change(request, Etcd::alarm).await
    }

    async fn status(&self, request: Request<StatusRequest>) -> Answer<StatusResponse> {
        self.lead(&request, Asks::Anybody).await?;
        self.tell(Etcd::status)
    }

    async fn defragment(&self, request: Request<DefragmentRequest>) -> Answer<DefragmentResponse> {
        self.lead(&request, Asks::Anybody).await?;
        self.tell(Etcd::defragment)
    }

    async fn hash(&self, request: Request<HashRequest>) -> Answer<HashResponse> {
        self.lead(&request, Asks::Anybody).await?;
        self.tell(Etcd::hash)
    }

    async fn hash_kv(&self, request: Request<HashKvRequest>) -> Answer<HashKvResponse> {
        self.lead(&request, Asks::Anybody).await?;
        self.ask(|etcd, now| etcd.hash_kv(now, request.into_inner()))
    }

    async fn snapshot(&self, _request: Request<SnapshotRequest>) -> Answer<Self::SnapshotStream> {
        Err(Refusal::NotSimulated(NO_SNAPSHOT).into())
    }

    async fn move_leader(&self, request: Request<MoveLeaderRequest>) -> Answer<MoveLeaderResponse> {
        self.lead(&request, Asks::Anybody).await?;
        if let Some(member) = &self.member {
            member.hand_over(&self.env, request.get_ref().target_id).await?;
            return Ok(Response::new(MoveLeaderResponse { header: None }));
        }
        self.ask(|etcd, now| etcd.move_leader(now, request.into_inner()))
    }
}

impl Service {
    /// Refuses a request about users or roles once its turn has come.
    async fn refuse<T, A>(&self, request: &Request<T>, refusal: Refusal) -> Answer<A> {
        self.lead(request, Asks::Leader).await?;
        match &self.member {
            None => self.ask(|etcd, now| Err(etcd.refuse_auth(now, refusal))),
            Some(member) => {
                let refused: Result<(), Refusal> =
                    member.change(&self.env, refusal, |etcd, now, refusal| Err(etcd.refuse_auth(now, refusal))).await;
                Err(refused.err().unwrap_or(refusal).into())
            }
        }
    }
}

#[tonic::async_trait]
impl Auth for Service {
    async fn auth_enable(&self, request: Request<AuthEnableRequest>) -> Answer<AuthEnableResponse> {
        self.refuse(&request, Refusal::RootUserNotFound).await
    }

    async fn auth_disable(&self, request: Request<AuthDisableRequest>) -> Answer<AuthDisableResponse> {
        self.change(request, |etcd, now, _| Ok(AuthDisableResponse { header: Some(etcd.auth(now)?) })).await
    }

    async fn authenticate(&self, request: Request<AuthenticateRequest>) -> Answer<AuthenticateResponse> {
        // A read: nothing goes into the log before a password was found to be right.
        self.lead(&request, Asks::SameLeader).await?;
        Err(Refusal::AuthNotEnabled.into())
    }

    async fn user_add(&self, request: Request<AuthUserAddRequest>) -> Answer<AuthUserAddResponse> {
        let has_name = !request.get_ref().name.is_empty();
        let refusal = if has_name { Refusal::NotSimulated(NO_USERS) } else { Refusal::EmptyUserName };
        self.refuse(&request, refusal).await
    }

    async fn user_get(&self, request: Request<AuthUserGetRequest>) -> Answer<AuthUserGetResponse> {
        self.refuse(&request, Refusal::UserNotFound).await
    }

    async fn user_list(&self, request: Request<AuthUserListRequest>) -> Answer<AuthUserListResponse> {
        self.change(request, |etcd, now, _| {
            Ok(AuthUserListResponse { header: Some(etcd.auth(now)?), users: Vec::new() })
        })
        .await
    }

    async fn user_delete(&self, request: Request<AuthUserDeleteRequest>) -> Answer<AuthUserDeleteResponse> {
        self.refuse(&request, Refusal::UserNotFound).await
    }

    async fn user_change_password(
        &self,
        request: Request<AuthUserChangePasswordRequest>,
    ) -> Answer<AuthUserChangePasswordResponse> {
        self.refuse(&request, Refusal::UserNotFound).await
    }

    async fn user_grant_role(&self, request: Request<AuthUserGrantRoleRequest>) -> Answer<AuthUserGrantRoleResponse> {
        self.refuse(&request, Refusal::UserNotFound).await
    }

    async fn user_revoke_role(
        &self,
        request: Request<AuthUserRevokeRoleRequest>,
    ) -> Answer<AuthUserRevokeRoleResponse> {
        self.refuse(&request, Refusal::UserNotFound).await
    }

    async fn role_add(&self, request: Request<AuthRoleAddRequest>) -> Answer<AuthRoleAddResponse> {
        let has_name = !request.get_ref().name.is_empty();
        let refusal = if has_name { Refusal::NotSimulated(NO_ROLES) } else { Refusal::EmptyRoleName };
        self.refuse(&request, refusal).await
    }

    async fn role_get(&self, request: Request<AuthRoleGetRequest>) -> Answer<AuthRoleGetResponse> {
        self.refuse(&request, Refusal::RoleNotFound).await
    }

    async fn role_list(&self, request: Request<AuthRoleListRequest>) -> Answer<AuthRoleListResponse> {
        self.change(request, |etcd, now, _| {
            Ok(AuthRoleListResponse { header: Some(etcd.auth(now)?), roles: Vec::new() })
        })
        .await
    }

    async fn role_delete(&self, request: Request<AuthRoleDeleteRequest>) -> Answer<AuthRoleDeleteResponse> {
        self.refuse(&request, Refusal::RoleNotFound).await
    }

    async fn role_grant_permission(
        &self,
        request: Request<AuthRoleGrantPermissionRequest>,
    ) -> Answer<AuthRoleGrantPermissionResponse> {
        self.refuse(&request, Refusal::RoleNotFound).await
    }

    async fn role_revoke_permission(
        &self,
        request: Request<AuthRoleRevokePermissionRequest>,
    ) -> Answer<AuthRoleRevokePermissionResponse> {
        self.refuse(&request, Refusal::RoleNotFound).await
    }
}
