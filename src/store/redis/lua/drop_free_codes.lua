-- Takes back up to so many codes of a pool that nobody has. ARGV: pool, most of them. Answers how many.
local p, pool = KEYS[1], ARGV[1]
local codes = redis.call('LPOP', p .. ':l:' .. pool, ARGV[2]) or {}
for _, code in ipairs(codes) do redis.call('DEL', p .. ':c:' .. code) end
if redis.call('LLEN', p .. ':l:' .. pool) == 0 and redis.call('HGET', p .. ':t', pool) == '0' then
  redis.call('HDEL', p .. ':t', pool)
end
return #codes
