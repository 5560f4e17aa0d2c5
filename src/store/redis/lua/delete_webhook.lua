-- Removes an endpoint. ARGV: workspace, id. Answers 0 when there is none.
local w, id = KEYS[1], ARGV[2]
if redis.call('SREM', w .. ':of:' .. ARGV[1], id) == 0 then return 0 end
redis.call('ZREM', w .. ':due', id)
redis.call('HDEL', w .. ':version', id)
redis.call('HDEL', w .. ':body', id)
return 1
