-- expand
-- Invitations: of the token that the mail carries only its SHA-256 is kept, and that no longer than it can be used.
-- An open invitation past expires_at has expired. A row without a token can be accepted by who is signed in and has the
-- address, and resent.
create table org.invitations (
  id uuid not null,
  org_id uuid not null,
  email text not null,
  role text not null,
  note text,
  -- Whose right it rests on, looked at again when it is accepted.
  inviter_id uuid not null,
  by_platform_admin boolean not null,
  token_hash bytea,
  status text not null default 'open',
  created_at timestamptz(3) not null,
  sent_at timestamptz(3) not null,
  expires_at timestamptz(3) not null,
  ended_at timestamptz(3),
  accepted_by uuid,
  constraint invitations_pkey primary key (id),
  constraint invitations_token_hash_key unique (token_hash),
  constraint invitations_org_id_fkey foreign key (org_id) references org.organizations (id) on delete cascade,
  constraint invitations_email_normalised check (email = lower(normalize(email, nfkc)) and email = btrim(email)),
  constraint invitations_email_length check (char_length(email) between 3 and 254),
  constraint invitations_role_known check (role in ('owner', 'admin', 'analyst', 'billing', 'viewer')),
  constraint invitations_note_length check (char_length(note) between 1 and 500),
  constraint invitations_token_hash_length check (octet_length(token_hash) = 32),
  constraint invitations_status_known
    check (status in ('open', 'accepted', 'declined', 'withdrawn', 'expired', 'cancelled')),
  constraint invitations_ended check ((status = 'open') = (ended_at is null)),
  constraint invitations_token_while_open check (status = 'open' or token_hash is null),
  constraint invitations_accepted_by_someone check ((status = 'accepted') = (accepted_by is not null))
);

-- One open invitation per address and organization, whoever invites at the same time.
create unique index invitations_open_key on org.invitations (org_id, email) where status = 'open';
create index invitations_open_email_idx on org.invitations (email, id) where status = 'open';
create index invitations_org_id_idx on org.invitations (org_id, id desc);
create index invitations_ended_at_idx on org.invitations (ended_at) where status <> 'open';

alter table org.invitations enable row level security;
alter table org.invitations force row level security;
create policy invitations_tenant on org.invitations
  using (org_id = app.current_org_id() or app.is_platform());

-- What was offered to whom never changes; who vouches for it does when it is sent again.
grant select, insert on org.invitations to gatehouse_org;
grant update (inviter_id, by_platform_admin, token_hash, status, sent_at, expires_at, ended_at) on org.invitations
  to gatehouse_org;

-- How many invitations were mailed to an address in the current hour, over all organizations. The address is hashed, and
-- the service counts by the function alone: whom others invite is nobody's to read.
create table org.invitation_mails (
  email_hash bytea not null,
  sent integer not null,
  resets_at timestamptz(3) not null,
  constraint invitation_mails_pkey primary key (email_hash),
  constraint invitation_mails_sent_counts check (sent > 0)
);
create index invitation_mails_resets_at_idx on org.invitation_mails (resets_at);

create function org.count_invitation_mail(p_email text, p_now timestamptz)
returns table (sent integer, resets_at timestamptz)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into org.invitation_mails as b (email_hash, sent, resets_at)
  values (sha256(convert_to(p_email, 'UTF8')), 1, p_now + interval '1 hour')
  on conflict (email_hash) do update set
    sent = case when b.resets_at <= p_now then 1 else b.sent + 1 end,
    resets_at = case when b.resets_at <= p_now then excluded.resets_at else b.resets_at end
  returning b.sent, b.resets_at
$$;
revoke all on function org.count_invitation_mail(text, timestamptz) from public;
grant execute on function org.count_invitation_mail(text, timestamptz) to gatehouse_org;
