-- Puts a dead letter back. ARGV: delivery, workspace, due. Answers 0 when it is none.
local p, key = KEYS[1], KEYS[1] .. ':d:' .. ARGV[1]
local row = redis.call('HMGET', key, 's', 'w', 'a', 'g')
if row[1] ~= 'dead_letter' or string.sub(row[2], 1, #ARGV[2] + 1) ~= ARGV[2] .. '\0' then return 0 end
redis.call('HSET', key, 's', tonumber(row[3]) > 0 and 'sending' or 'queued', 'n', 0, 'r', '')
redis.call('HDEL', key, 'e')
redis.call('PERSIST', key)
redis.call('ZREM', p .. ':dlq', ARGV[1])
wait_in(p, row[4], ARGV[3], ARGV[1])
return 1
