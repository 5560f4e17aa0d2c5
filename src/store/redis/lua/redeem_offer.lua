-- Redeems a code, once. ARGV: code, name of the redemption, when, its details. Answers what became of it, the delivery and
-- the grant.
local p = KEYS[1]
local delivery = redis.call('GET', p .. ':c:' .. ARGV[1])
if not delivery or delivery == '' then return {'unknown'} end
local key = p .. ':g:' .. delivery
if redis.call('EXISTS', key) == 0 then return {'unknown'} end
local outcome = 'done'
local had = redis.call('HGET', key, 'as')
if had then
  if had ~= ARGV[2] then outcome = 'used' end
elseif tonumber(ARGV[3]) >= tonumber(redis.call('HGET', key, 'ends')) then
  outcome = 'expired'
else
  redis.call('HSET', key, 'state', 'redeemed', 'as', ARGV[2], 'at', ARGV[3], 'details', ARGV[4])
  redis.call('ZREM', p .. ':r', delivery)
end
return {outcome, delivery, redis.call('HGETALL', key)}
