-- Keeps an outside event until everybody was told. ARGV: name, body, at. Answers 0 when it is known.
local key = KEYS[1] .. ':e:' .. ARGV[1]
if redis.call('EXISTS', key) == 1 then return 0 end
redis.call('HSET', key, 'b', ARGV[2])
redis.call('ZADD', KEYS[1] .. ':pending', ARGV[3], ARGV[1])
return 1
