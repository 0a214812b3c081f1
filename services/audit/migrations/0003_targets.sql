-- no-transaction
-- expand
-- Pages by what was acted on, within an organization or alone. Built beside the sealer, which need not wait for it.
create index concurrently if not exists log_target_org_time on audit.log (target_id, org_id, occurred_at desc, seq desc)
  where target_id is not null;
