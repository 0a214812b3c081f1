-- expand
-- Keys are renamed, and tell from which network they were last used: an IPv4 /24 or an IPv6 /64, no address.
alter table org.api_keys
  add column last_used_network text,
  add constraint api_keys_last_used_network_length check (char_length(last_used_network) <= 43);

grant update (name, last_used_network) on org.api_keys to gatehouse_org;
