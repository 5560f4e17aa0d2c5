-- Notes how deliveries have ended: what was not sent goes back. ARGV, for each: delivery, 1 if it was sent.
local p = KEYS[1]
for at = 1, #ARGV, 2 do
  local delivery = ARGV[at]
  local key = p .. ':g:' .. delivery
  local grant = redis.call('HMGET', key, 'state', 'subject', 'campaign', 'code', 'pool')
  redis.call('ZREM', p .. ':r', delivery)
  if grant[1] == 'reserved' then
    if ARGV[at + 1] == '1' then
      redis.call('HSET', key, 'state', 'live')
    else
      redis.call('DEL', key)
      redis.call('ZREM', p .. ':u:' .. grant[2], delivery)
      redis.call('HINCRBY', p .. ':b', grant[3], -1)
      if grant[5] ~= '' then
        redis.call('LPUSH', p .. ':l:' .. grant[5], grant[4])
        redis.call('HINCRBY', p .. ':t', grant[5], -1)
        redis.call('SET', p .. ':c:' .. grant[4], '')
      elseif grant[4] ~= '' then
        redis.call('DEL', p .. ':c:' .. grant[4])
      end
    end
  end
end
return 1
