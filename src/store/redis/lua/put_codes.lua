-- Adds codes to a pool. ARGV: pool, codes. Answers how many were new.
local p, pool, added = KEYS[1], ARGV[1], 0
redis.call('HINCRBY', p .. ':t', pool, 0)
for at = 2, #ARGV do
  if redis.call('SET', p .. ':c:' .. ARGV[at], '', 'NX') then
    redis.call('RPUSH', p .. ':l:' .. pool, ARGV[at])
    added = added + 1
  end
end
return added
