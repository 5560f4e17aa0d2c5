-- A customer's live grants that end after now, those that end first first. ARGV: subject, now, most of them.
local p = KEYS[1]
local grants = {}
local list = redis.call('ZRANGE', p .. ':u:' .. ARGV[1], '(' .. ARGV[2], '+inf', 'BYSCORE')
for _, delivery in ipairs(list) do
  if #grants >= tonumber(ARGV[3]) then break end
  local grant = redis.call('HGETALL', p .. ':g:' .. delivery)
  if #grant > 0 and redis.call('HGET', p .. ':g:' .. delivery, 'state') == 'live' then
    grants[#grants + 1] = {delivery, grant}
  end
end
return grants
