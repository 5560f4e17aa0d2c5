-- Leases records that are due to be looked at. ARGV: now, until, limit, node. Answers when the next one is due, and who.
local due = KEYS[1] .. ':tm'
local who = redis.call('ZRANGEBYSCORE', due, '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, one in ipairs(who) do redis.call('ZADD', due, ARGV[2], one) end
return {redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2] or '', who}
