-- A workspace's endpoints. ARGV: workspace. Answers for each: id, version, due or '', workspace NUL body.
local w = KEYS[1]
local all = redis.call('SMEMBERS', w .. ':of:' .. ARGV[1])
table.sort(all)
local answers = {}
for _, id in ipairs(all) do
  local version, body = redis.call('HGET', w .. ':version', id), redis.call('HGET', w .. ':body', id)
  answers[#answers + 1] = {id, version, redis.call('ZSCORE', w .. ':due', id) or '', body}
end
return answers
