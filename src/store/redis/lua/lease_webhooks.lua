-- Leases due endpoints. ARGV: now, until, limit. Answers for each: id, version, due, workspace NUL body.
local w = KEYS[1]
local leased = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', w .. ':due', '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])) do
  redis.call('ZADD', w .. ':due', ARGV[2], id)
  local version = redis.call('HINCRBY', w .. ':version', id, 1)
  leased[#leased + 1] = {id, tostring(version), ARGV[2], redis.call('HGET', w .. ':body', id)}
end
return leased
